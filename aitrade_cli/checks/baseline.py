"""Compare this run with an earlier one: ratios may not fall by more than a tolerance."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aitrade_cli.checks.runner import CheckLine
from aitrade_cli.errors import BadInput


class BadBaseline(BadInput):
    """The file is not what `check-all --json` printed."""

    default_hint = "make one with `aitrade check-all --json > baseline.ndjson`"


@dataclass(frozen=True, slots=True)
class Earlier:
    """The two ratios of one row in the earlier run."""

    speedup: float | None
    memory_saved: float | None


def read_baseline(path: str) -> dict[str, Earlier]:
    """Read the ratios of an earlier run, by row id.

    Raises:
        BadBaseline: the file cannot be read or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        lines = [plain_json(line) for line in text.splitlines() if line.strip()]
        rows = [line["data"] for line in lines if line["kind"] == "check"]
        earlier = {row["id"]: earlier_of(row["measured"]) for row in rows}
    except OSError as error:
        raise BadBaseline(f"cannot read `{path}`: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBaseline(f"`{path}` is no output of `check-all --json`") from error
    if not earlier:
        raise BadBaseline(f"`{path}` holds no check")
    return earlier


def plain_json(line: str) -> Any:  # noqa: ANN401 -- from a file
    # NaN is no JSON, and nothing is ever behind it.
    return json.loads(line, parse_constant=refuse_constant)


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def earlier_of(measured: dict[str, Any]) -> Earlier:
    return Earlier(number(measured["speedup"]), number(measured["memory_saved"]))


def number(value: Any) -> float | None:  # noqa: ANN401 -- from a file
    return None if value is None else float(value)


def compare(line: CheckLine, earlier: Earlier | None, tolerance: float) -> CheckLine:
    """Mark the line where it fell behind the earlier run.

    Args:
        line: the row as measured now.
        earlier: the same row then; `None` where that run did not have it.
        tolerance: share by which a ratio may fall, 0..1. Memory is compared by what
            is left of it, ``1 - memory_saved``, which may grow by the same share.
    """
    if earlier is None:
        return line
    now = line.measured
    lost = []
    if earlier.speedup is not None and (now.speedup or 0.0) < earlier.speedup * (1 - tolerance):
        lost.append(f"speed {fmt(now.speedup)} after {earlier.speedup:.2f}x")
    if earlier.memory_saved is not None:
        left = 1.0 if now.memory_saved is None else 1 - now.memory_saved
        if left > (1 - earlier.memory_saved) * (1 + tolerance):
            lost.append(f"memory left {left:.1%} after {1 - earlier.memory_saved:.1%}")
    return replace(line, regression="; ".join(lost)) if lost else line


def fmt(speedup: float | None) -> str:
    return "not measured" if speedup is None else f"{speedup:.2f}x"
