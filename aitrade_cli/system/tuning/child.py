"""What a fresh process finds: `python -m aitrade_cli.system.tuning.child [--effects]`.

Settings of a process are read once, at its start. So they are looked at from inside a new one
that was started with them, never from the process that set them. Prints one JSON object.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from pathlib import Path
from typing import Any, Final

TEMPORARY_MB: Final = 16
HELD_MB: Final = 64
WARM_ROUNDS: Final = 12  # the heap has grown to its size by then
ROUNDS: Final = 10
WATCHED: Final = re.compile(
    r"libgomp|libiomp5|libomp|libtcmalloc|libjemalloc|libmimalloc|libc\.so|libc-2|ld-musl"
)


def mapped(maps: str) -> tuple[str, ...]:
    """File names of the OpenMP runtimes, allocators and C libraries in a ``/proc/PID/maps``."""
    paths = {words[5] for line in maps.splitlines() if len(words := line.split()) > 5}
    return tuple(sorted({name for path in paths if WATCHED.match(name := Path(path).name)}))


def torch_facts() -> dict[str, Any]:
    """What torch made of its environment; empty where it is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def effects() -> dict[str, Any]:
    """Page faults for each round of large temporaries, and huge pages behind a held tensor.

    Counted, not timed: a neighbour on the machine changes neither.
    """
    import torch

    def temporaries() -> None:
        left = torch.empty(TEMPORARY_MB * 250_000).fill_(1.0)
        right = left + 1.0
        (left * right).sum()

    for _ in range(WARM_ROUNDS):
        temporaries()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        temporaries()
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / ROUNDS
    held = torch.empty(HELD_MB * 250_000).fill_(1.0)
    kilobytes = huge_kilobytes()
    del held
    return {"faults_a_round": round(faults), "huge_kilobytes": kilobytes}


def huge_kilobytes() -> int | None:
    try:
        text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^AnonHugePages:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def limits() -> dict[str, int]:
    """Soft limits; -1 stands for none."""
    names = {"nofile": resource.RLIMIT_NOFILE, "core": resource.RLIMIT_CORE}
    if sys.platform == "linux":
        names |= {"memlock": resource.RLIMIT_MEMLOCK, "nproc": resource.RLIMIT_NPROC}
    return {name: resource.getrlimit(number)[0] for name, number in names.items()}


def main(words: list[str]) -> None:
    found = torch_facts()
    if "--effects" in words and found:
        found |= effects()
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        maps = ""
    sys.stdout.write(json.dumps(found | {"mapped": mapped(maps), "limits": limits()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
