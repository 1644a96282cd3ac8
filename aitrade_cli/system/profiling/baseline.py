"""An earlier profile to hold this one against, for CI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.system.profiling.report import Against, ProfileReport

WORTH_A_WORD: Final = 0.10  # of the wall time; smaller findings come and go


class NotAProfile(BadInput):
    """The file holds no earlier profile."""

    default_hint = "write one with `aitrade profile … --json > baseline.json`"


def read_baseline(path: str) -> Mapping[str, Any]:
    """The last report of `aitrade profile --json` in a file.

    Raises:
        NotAProfile: there is none, or the file cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotAProfile(f"cannot read the baseline `{path}`") from error
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("command") == "profile":
            data = row.get("data")
            if row.get("kind") == "report" and isinstance(data, dict) and usable(data):
                return data
    raise NotAProfile(f"`{path}` holds no report of `aitrade profile`")


def usable(data: Mapping[str, Any]) -> bool:
    wall = data.get("wall_seconds")
    return isinstance(wall, int | float) and wall > 0 and isinstance(data.get("findings"), list)


def against(report: ProfileReport, earlier: Mapping[str, Any], tolerance: float) -> ProfileReport:
    """The report with its comparison.

    Args:
        report: this profile.
        earlier: the data of the earlier one.
        tolerance: share by which time or memory may rise.
    """
    memory = earlier.get("memory") or {}
    before = memory.get("peak_bytes")
    ratio = report.memory.peak_bytes / before if report.memory and before else None
    old = {row["kind"] for row in earlier["findings"] if row.get("share", 0.0) >= WORTH_A_WORD}
    new = {one.kind for one in report.findings if one.share >= WORTH_A_WORD}
    found = Against(
        wall_ratio=round(report.wall_seconds / earlier["wall_seconds"], 4),
        peak_memory_ratio=round(ratio, 4) if ratio else None,
        tolerance=tolerance,
        new_findings=tuple(sorted(new - old)),
        gone_findings=tuple(sorted(old - new)),
    )
    return replace(report, against=found)
