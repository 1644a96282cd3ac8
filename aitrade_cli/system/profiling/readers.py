"""Read what other profilers wrote, down to the one line that each calls the hottest."""

from __future__ import annotations

import json
import pstats
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aitrade_cli.system.profiling.hooks.recorder import is_user_file
from aitrade_cli.system.profiling.rules.prediction import place_of


class NothingSeen(Exception):
    """A profiler ran, and none of what it saw is the user's."""


class Hottest(NamedTuple):
    """What a profiler calls hottest."""

    place: str  # file:line, or the name of an operator or kernel
    share: float  # of what that profiler measures


def line_of_cprofile(path: Path) -> Hottest:
    """The user's function with most time that is not in another one of the user's.

    Raises:
        NothingSeen: no function is the user's.
    """
    stats: Mapping[Any, Any] = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    own: dict[Any, float] = defaultdict(float)
    total = sum(row[2] for row in stats.values())
    for function, (_, _, _, cumulative, callers) in stats.items():
        if not is_user_file(function[0]) or function[2] == "<module>":
            continue
        own[function] += cumulative
        for caller, row in callers.items():
            if is_user_file(caller[0]):
                own[caller] -= row[3]
    usable = {one: seconds for one, seconds in own.items() if one[2] != "<module>"}
    if not usable:
        raise NothingSeen("no function of the program itself")
    top = max(usable, key=lambda one: usable[one])
    return Hottest(place_of(top[0], top[1]), usable[top] / max(total, 1e-9))


def line_of_scalene(path: Path) -> Hottest:
    """The line with most CPU time, Python and native together.

    Raises:
        NothingSeen: it took no sample of the program.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (place_of(file, int(line["lineno"])), percent(line))
        for file, told in data.get("files", {}).items()
        for line in told["lines"]
        if not line.get("line", "").lstrip().startswith(("import ", "from "))
    ]
    if not rows or max(row[1] for row in rows) <= 0.0:
        raise NothingSeen("no sample of the program itself")
    place, share = max(rows, key=lambda row: row[1])
    return Hottest(place, share / 100.0)


def percent(line: Mapping[str, Any]) -> float:
    return sum(
        float(line.get(name, 0.0))
        for name in ("n_cpu_percent_python", "n_cpu_percent_c", "n_sys_percent")
    )


def lines_of_memray(path: Path) -> tuple[list[tuple[str, int]], int]:
    """Bytes held at the peak by the user's line that asked for them, and the peak itself.

    Raises:
        NothingSeen: nothing at the peak was asked for by the user's code.
    """
    import memray

    held: dict[str, int] = defaultdict(int)
    peak = 0
    with memray.FileReader(path) as reader:
        for record in reader.get_high_watermark_allocation_records(merge_threads=True):
            peak += record.size
            near = next((row for row in record.stack_trace() if is_user_file(row[1])), None)
            if near is not None:
                held[place_of(near[1], near[2])] += record.size
    if not held:
        raise NothingSeen("nothing at the peak is the program's own")
    return sorted(held.items(), key=lambda row: -row[1]), peak


def hottest_operator(rows: Sequence[Mapping[str, Any]]) -> Hottest:
    """The operator with most time of its own.

    Raises:
        NothingSeen: no step was seen.
    """
    if not rows:
        raise NothingSeen("no optimizer step was seen")
    total = sum(row["seconds"] for row in rows)
    top = max(rows, key=lambda row: row["seconds"])
    return Hottest(str(top["name"]), top["seconds"] / max(total, 1e-12))


def kernel_of_nsys(path: Path) -> Hottest:
    """The kernel with most GPU time.

    Raises:
        NothingSeen: no kernel ran.
    """
    done = subprocess.run(
        ["nsys", "stats", "--force-export=true", "--format", "json", "--report",
         "cuda_gpu_kern_sum", str(path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    text = done.stdout[done.stdout.find("[") :]
    rows = json.loads(text) if text else []
    if not rows:
        raise NothingSeen("no kernel ran")
    return Hottest(str(rows[0]["Name"]), float(rows[0]["Time (%)"]) / 100.0)
