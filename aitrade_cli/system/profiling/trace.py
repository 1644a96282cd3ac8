"""A Chrome trace of the phases, with memory beside them; Perfetto and chrome://tracing read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aitrade_cli.system.profiling.report import MemoryUse

MICROSECONDS: Final = 1e6
# Where a trace of torch's own stands beside ours, its rows keep their process numbers.
OURS: Final = 1_000_000


def chrome_trace(
    events: Sequence[Sequence[Any]], memory: MemoryUse | None, torch_trace: bytes | None = None
) -> bytes:
    """Phases as boxes, memory as a curve, and torch's operators from a run of their own.

    Args:
        events: kind, begin and length in seconds.
        memory: its timeline becomes the counter.
        torch_trace: what torch's profiler exported, if it ran.
    """
    rows: list[Mapping[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": OURS, "args": {"name": "aitrade profile"}}
    ]
    rows += [
        {
            "name": kind, "ph": "X", "pid": OURS, "tid": 1, "cat": "phase",
            "ts": round(begin * MICROSECONDS, 1), "dur": round(length * MICROSECONDS, 1),
        }
        for kind, begin, length in events
    ]  # fmt: skip
    for at, size in memory.timeline if memory else ():
        rows.append({
            "name": "resident memory", "ph": "C", "pid": OURS, "tid": 1,
            "ts": round(at * MICROSECONDS, 1), "args": {"bytes": size},
        })  # fmt: skip
    if torch_trace:
        rows += json.loads(torch_trace)["traceEvents"]
    return json.dumps({"traceEvents": rows, "displayTimeUnit": "ms"}).encode()
