"""What a store holds, read from its headers and columns; no record is read."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aitrade_cli.replay import lock
from aitrade_cli.replay.disk import keeping
from aitrade_cli.replay.disk.creating import FieldFacts, facts_of, shape_text
from aitrade_cli.replay.disk.opening import manifest_in
from aitrade_cli.replay.disk.resident import FEWEST_RESIDENT
from aitrade_cli.replay.ring import DAMAGED
from aitrade_cli.replay.store import ReplayStore
from aitrade_cli.report.blocks import Block, Facts, Verdict, view
from aitrade_cli.units import bytes_text, ratio_text


@dataclass(frozen=True, slots=True)
class InfoReport:
    """A store at a glance. `verify` is what proves its bytes."""

    store: str
    format_version: int
    fields: tuple[FieldFacts, ...]
    record_bytes: int
    capacity_rows: int
    rows_acknowledged: int  # since the store began
    rows_live: int
    transitions: int  # live rows that can be drawn
    rows_lost: int  # live rows that are known by their number only
    episodes: int  # live
    segments: int
    blocks: int
    size_bytes: int
    codecs: dict[str, int]  # blocks by the codec that packs them
    sampler: str | None  # whose priorities are kept
    being_written: bool

    JSON_PROPERTIES = ("size_ratio",)

    @property
    def size_ratio(self) -> float | None:
        """Bytes on disk over those of the live records alone."""
        raw = self.rows_live * self.record_bytes
        return self.size_bytes / raw if raw else None


def about(folder: Path) -> InfoReport:
    """Look at a store without changing it.

    Raises:
        AitradeError: there is none, or its manifest is damaged everywhere.
    """
    made = manifest_in(folder)
    few = FEWEST_RESIDENT * made.schema.record_bytes
    with ReplayStore(folder, memory=few, mode="r") as store:
        disk = store.disk
        if disk is None:
            raise RuntimeError("a folder was opened without a disk")
        live = np.arange(store.first, store.total) % store.capacity
        placed = disk.layout.placed
        packing = Counter(
            made.codecs[block.found.header.codec].name
            for block in placed
            if not block.found.header.is_hole
        )
        return InfoReport(
            str(folder),
            made.version,
            facts_of(made.schema),
            made.schema.record_bytes,
            made.capacity,
            store.total,
            store.ring.live,
            int(np.count_nonzero(store.ring.following[live] >= 0)),
            int(np.count_nonzero(store.ring.flags[live] & DAMAGED)),
            len(np.unique(store.ring.columns["episode"][live])),
            len(disk.known),
            len(placed),
            sum(segment.size for segment in disk.known),
            dict(packing),
            keeping.kept_of(folder),
            being_written(folder),
        )


def being_written(folder: Path) -> bool:
    """Whether somebody holds the lock at this moment."""
    try:
        descriptor = os.open(folder / lock.NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def packing_text(ratio: float | None) -> str:
    """How the bytes on disk compare with those of the live records alone, in words."""
    if ratio is None:
        return "no rows yet"
    if ratio > 1.0:
        return f"{ratio_text(ratio)} as large as the raw records"
    return f"{ratio_text(1.0 / ratio)} smaller than the raw records"


@view.register
def _(report: InfoReport) -> Sequence[Block]:
    names = ", ".join(f"{name} {count:,}" for name, count in report.codecs.items())
    segments = "1 segment" if report.segments == 1 else f"{report.segments:,} segments"
    facts = [
        ("Fields", ", ".join(f"{fact.name} {shape_text(fact)}" for fact in report.fields)),
        ("Rows", f"{report.rows_live:,} of {report.capacity_rows:,}"),
        ("Since it began", f"{report.rows_acknowledged:,} rows"),
        ("Episodes", f"{report.episodes:,}"),
        ("On disk", f"{bytes_text(report.size_bytes)} in {segments}"),
        (
            "Packing",
            f"{packing_text(report.size_ratio)}; blocks: {names or 'none'}",
        ),
        ("Priorities", report.sampler or "none kept"),
        ("Format", str(report.format_version)),
    ]
    if report.rows_lost:
        facts.append(("Lost", f"{report.rows_lost:,} rows; `verify` says where"))
    said = f"{report.transitions:,} transitions"
    if report.being_written:
        said += ", being written now"
    return Verdict(said), Facts("", (("Store", report.store), *facts))
