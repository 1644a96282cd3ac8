"""Twelve scripts that no rule was written for: what is wrong with each must come first.

`python -m tests.soak.profile --least 11`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aitrade_cli.system.profiling.profiler import Wanted, profile_program
from aitrade_cli.system.profiling.target import Program

SCRIPTS: Final = Path(__file__).resolve().parents[1] / "unseen"
WANTED: Final[Mapping[str, str]] = {
    "anomaly": "debug_switch", "arrays": "returned_pages", "converting": "repeated_copies",
    "crowd": "too_many_threads", "decoder": "slow_loader", "keeping": "growing_memory",
    "lengths": "recompilations", "online": "tiny_batches", "pickling": "waiting_checkpoint",
    "reading": "single_elements", "tables": "slow_parsing", "walking": "python_loop",
}  # fmt: skip


def first_of(name: str) -> str:
    """What comes first in the profile of a script; `nothing` where nothing was found."""
    path = str(SCRIPTS / f"{name}.py")
    found = profile_program(Program((path,), sys.executable, (path,)), Wanted()).report.findings
    return found[0].kind if found else "nothing"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=tuple(WANTED), default=tuple(WANTED))
    parser.add_argument("--least", type=int, default=11)
    asked = parser.parse_args(words)
    right = 0
    for name in asked.only:
        first = first_of(name)
        right += first == WANTED[name]
        sys.stdout.write(f"{name}: {first}, wanted {WANTED[name]}\n")
    sys.stdout.write(f"{right} of {len(asked.only)} come first\n")
    return 0 if right >= min(asked.least, len(asked.only)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
