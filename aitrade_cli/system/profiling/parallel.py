"""How much several processes at once get done here, in times of what one gets done alone."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Final

SECONDS: Final = 0.15
TURNS: Final = 5  # one in five was seen at 1.2 where the others were at 2.0 and more
# Counts what gets done until a time that all were told: starting up is no part of it.
COUNTING = """
import sys, time
begin, seconds = float(sys.argv[1]), float(sys.argv[2])
while time.time() < begin:
    pass
done, numbers = 0, list(range(200))
while time.time() < begin + seconds:
    sum(numbers)
    done += 1
print(done)
"""
START_SECONDS: Final = 0.2


def worth_of(processes: int) -> tuple[float, float]:
    """The least and the most of some turns, each of one process alone and then all at once.

    Two cores may be one that is shared, and other programs take theirs: what workers will get
    is what such processes get now.

    Args:
        processes: >= 2.
    """
    found = []
    for _ in range(TURNS):
        alone = counted(1)
        found.append(counted(processes) / max(alone, 1))
    return max(min(found), 1.0), min(max(*found, 1.0), float(processes))


def counted(processes: int) -> int:
    begin = str(time.time() + START_SECONDS)
    started = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", COUNTING, begin, str(SECONDS)],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
        for _ in range(processes)
    ]  # fmt: skip
    return sum(int(one.communicate()[0] or 0) for one in started)
