"""What a look at every byte of a store found, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.report.blocks import Block, Facts, Table, Verdict, view
from aitrade_cli.units import bytes_text, count_text

SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Damage:
    """One place that is not as it was written.

    Attributes:
        file: below the store's folder.
        offset: of the first byte concerned.
        bytes: concerned.
        first_row: of the rows that are lost with it; None where none is.
        rows: lost with it.
        reason: in words.
    """

    file: str
    offset: int
    bytes: int
    first_row: int | None
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found. `--json` prints these fields as they are."""

    store: str
    rows_acknowledged: int
    rows_whole: int  # of those on disk
    rows_lost_before: int  # that a repair had to give up
    segments: int
    size_bytes: int
    damages: tuple[Damage, ...]
    unacknowledged: tuple[Damage, ...]  # a tail that nobody was promised

    JSON_PROPERTIES = ("passed", "rows_lost")

    @property
    def passed(self) -> bool:
        return not self.damages

    @property
    def rows_lost(self) -> int:
        return sum(damage.rows for damage in self.damages)


@view.register
def _(report: VerifyReport) -> Sequence[Block]:
    count = len(report.damages)
    if report.passed:
        verdict = Verdict(f"Whole: {report.rows_whole:,} rows, every checksum right", good=True)
    else:
        places = "1 place" if count == 1 else f"{count} places"
        verdict = Verdict(
            f"Damaged in {places}: {report.rows_lost:,} of {report.rows_acknowledged:,} "
            "acknowledged rows lost",
            good=False,
        )
    facts = (
        ("Acknowledged", f"{report.rows_acknowledged:,} rows"),
        ("Given up before", f"{report.rows_lost_before:,} rows"),
        ("Segments", f"{report.segments}, {bytes_text(report.size_bytes)}"),
    )
    blocks: list[Block] = [verdict, Facts("", (("Store", report.store), *facts))]
    if report.damages:
        blocks.append(table_of("Damage", report.damages))
    if report.unacknowledged:
        blocks.append(table_of("Never acknowledged, so nothing is lost", report.unacknowledged))
    return blocks


def table_of(title: str, damages: Sequence[Damage]) -> Table:
    rows = [
        (
            f"{damage.file.removeprefix('segments/')}: {damage.reason}",
            count_text(damage.offset),
            count_text(damage.bytes),
            rows_text(damage),
        )
        for damage in damages[:SHOWN]
    ]
    if len(damages) > SHOWN:
        rows.append((f"and {len(damages) - SHOWN} more; `--json` names them all", "", "", ""))
    return Table(title, ("Place", "Offset", "Bytes", "Rows"), rows)


def rows_text(damage: Damage) -> str:
    if damage.first_row is None:
        return "none"
    last = damage.first_row + damage.rows - 1
    return f"{damage.first_row:,}" if damage.rows == 1 else f"{damage.first_row:,}-{last:,}"
