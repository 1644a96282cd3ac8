"""`check-all` on screen: claimed beside measured, a line a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aitrade_cli.checks.runner import CheckLine
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.units import DASH, ratio_text, share_text


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All rows of one run."""

    lines: tuple[CheckLine, ...]

    @property
    def passed(self) -> bool:
        return not any(line.bad for line in self.lines)


WORDS = {
    "held": "held",
    "below_claim": "below claim",
    "unavailable": "unavailable",
    "failed": "FAILED",
}
REGRESSION = "REGRESSION"


@view.register
def _(report: CheckReport) -> Sequence[Block]:
    words = [word_of(line) for line in report.lines]
    counted = ((word, words.count(word)) for word in (*WORDS.values(), REGRESSION))
    said = ", ".join(f"{count} {word}" for word, count in counted if count)
    rows_word = "row" if len(report.lines) == 1 else "rows"
    rows = [row_of(line) for line in report.lines]
    columns = ("Row", "Status", "Speed claimed", "here", "Memory claimed", "here", "Wall")
    reasons = [f"{line.id}: {text}" for line in report.lines if (text := why(line))]
    conditions = [f"{line.id}: {line.conditions}" for line in report.lines if line.conditions]
    blocks: list[Block] = [
        Verdict(f"{len(report.lines)} {rows_word}: {said}", report.passed),
        Table("Measured on this machine", columns, rows, left=2),
    ]
    if reasons:
        blocks.append(Notes("Reasons", reasons))
    if conditions:
        blocks.append(Notes("Measured how", conditions))
    return blocks


def word_of(line: CheckLine) -> str:
    return REGRESSION if line.regression and line.status != "failed" else WORDS[line.status]


def row_of(line: CheckLine) -> tuple[str, ...]:
    return (
        line.id,
        word_of(line),
        ratio_text(line.claim.speedup),
        ratio_text(line.measured.speedup),
        share_text(line.claim.memory_saved, 0),
        share_text(line.measured.memory_saved),
        f"{line.wall_seconds:.0f} s" if line.wall_seconds else DASH,
    )


def why(line: CheckLine) -> str:
    return "; ".join(text for text in (line.reason, line.regression) if text)
