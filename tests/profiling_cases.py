"""Programs, evidence and runs for the tests of profiling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from aitrade_cli.system.profiling.evidence import Evidence, Site
from aitrade_cli.system.profiling.launch import Run
from aitrade_cli.system.profiling.report import Finding
from aitrade_cli.system.profiling.rules import findings_of
from aitrade_cli.system.profiling.stacks import LineTime
from aitrade_cli.system.profiling.target import Program, target_of

LOADING = """
    from torch.utils.data import DataLoader

    def main(data, network):
        loader = DataLoader(data, batch_size=32, shuffle=True)
        for batch in loader:
            network(batch)
"""
READING = """
    def total(prices, limit):
        sum_ = 0.0
        for at in range(limit):
            sum_ += prices[at].item()
        return sum_
"""


def script(folder: Path, text: str, name: str = "job.py") -> Path:
    """A script with that text."""
    path = folder / name
    path.write_text(dedent(text).lstrip(), encoding="utf-8")
    return path


def program(path: Path, *arguments: str) -> Program:
    """It, as the command line names it."""
    found = target_of([str(path), *arguments])
    assert isinstance(found, Program)
    return found


def site(kind: str, path: Path, line: int, seconds: float, **more: Any) -> Site:
    """Hooked calls from one line."""
    given = {"outer": "", "function": "main", "calls": 100, "cpu_seconds": seconds, "size": 0.0}
    return Site(kind, file=str(path), line=line, seconds=seconds, **{**given, **more})


def line(path: Path, number: int, seconds: float, own: float = 0.0) -> LineTime:
    """Samples at one line."""
    return LineTime(str(path), number, "main", seconds, own)


def found(evidence: Evidence) -> dict[str, Finding]:
    """What the rules find, by kind."""
    return {one.kind: one for one in findings_of(evidence)}


def ended(
    wall: float, *, peak: int = 1, code: int = 0, killed: bool = False, output: str = "a"
) -> Run:
    """A run as `launch.run` hands it back."""
    return Run(code, wall, wall, peak, output, ("it broke",), 1, killed=killed)


def facts(**given: Any) -> Mapping[str, Any]:
    """What the hooks note beside the calls."""
    return {"cuda": False, "loaders": [], **given}


def loader_row(path: Path, number: int, **more: object) -> dict[str, object]:
    """What the hooks note of a DataLoader."""
    given = {"workers": 0, "batch": 32, "pinned": False, "dataset": "D", "items": 1000}
    return {"file": str(path), "line": number, **given, **more}
