"""Twelve scripts that no rule was written for: what is wrong with each must come first.

`python -m tests.soak.profile --least 11`

Then what watching costs: a training of a minute, watched and not, in turn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from aitrade_cli.system.profiling.launch import Order, run
from aitrade_cli.system.profiling.profiler import Wanted, profile_program
from aitrade_cli.system.profiling.target import Program

SCRIPTS: Final = Path(__file__).resolve().parents[1] / "unseen"
TRAINING: Final = str(SCRIPTS.parents[1] / "fixtures/scripts/train_lstm.py")
PROBES: Final = (100, 400)  # steps, to learn what one takes
MOST_SHARE: Final = 0.15
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


def training(steps: int, *, watched: bool) -> float:
    """Seconds of the fixture's training, from its start until its evidence is written."""
    program = Program((TRAINING,), sys.executable, (TRAINING, "--steps", str(steps)))
    order = Order(program, hooks=watched, sampler=watched, quiet=True, through=True)
    begun = time.perf_counter()
    done = run(order)
    assert done.exit_code == 0, done.last_words
    return time.perf_counter() - begun


def overheads(
    seconds: float, pairs: int, taken: Callable[..., float] = training
) -> tuple[list[float], float]:
    """How much longer a watched training takes than an unwatched one, pair by pair.

    Args:
        seconds: of the unwatched one, about.
        pairs: how often; the second of a pair goes first in the next.
        taken: runs so many steps, watched or not; the tests put their own in.

    Returns:
        The shares, and the seconds of the shortest unwatched training.
    """
    few, many = (taken(steps, watched=False) for steps in PROBES)
    each = max((many - few) / (PROBES[1] - PROBES[0]), 1e-5)
    steps = max(round((seconds - few) / each), PROBES[0])
    shares, plain_seconds = [], []
    for number in range(pairs):
        arms = (False, True) if number % 2 == 0 else (True, False)
        found = {watched: taken(steps, watched=watched) for watched in arms}
        shares.append(found[True] / found[False] - 1.0)
        plain_seconds.append(found[False])
    return shares, min(plain_seconds)


def cheap(seconds: float, pairs: int, taken: Callable[..., float] = training) -> bool:
    """Whether watching costs no more than it may."""
    if not pairs:
        return True
    shares, plain = overheads(seconds, pairs, taken)
    told = ", ".join(f"{one:.1%}" for one in shares)
    sys.stdout.write(f"watching a training of {plain:.0f} s costs {told}; may {MOST_SHARE:.0%}\n")
    return median(shares) <= MOST_SHARE


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=tuple(WANTED), default=tuple(WANTED))
    parser.add_argument("--least", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the training")
    parser.add_argument("--pairs", type=int, default=3, help="watched and not")
    asked = parser.parse_args(words)
    right = 0
    for name in asked.only:
        first = first_of(name)
        right += first == WANTED[name]
        sys.stdout.write(f"{name}: {first}, wanted {WANTED[name]}\n")
    sys.stdout.write(f"{right} of {len(asked.only)} come first\n")
    enough = right >= min(asked.least, len(asked.only))
    return 0 if cheap(asked.seconds, asked.pairs) and enough else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
