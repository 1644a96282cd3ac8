"""The part of a store that lies in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import psutil

from aitrade_cli.errors import Usage
from aitrade_cli.replay.disk.appending import Appender
from aitrade_cli.replay.disk.head import Head
from aitrade_cli.replay.disk.keeping import keep, restore
from aitrade_cli.replay.disk.layout import Layout, Placed
from aitrade_cli.replay.disk.loading import load_segment, lose, tie
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.opening import (
    NewStore,
    NoStore,
    create_store,
    is_store,
    manifest_in,
    refuse_other,
)
from aitrade_cli.replay.disk.packing import codecs_of
from aitrade_cli.replay.disk.paging import Pager
from aitrade_cli.replay.disk.survey import Survey, survey
from aitrade_cli.replay.interfaces import Codec, Sampler
from aitrade_cli.replay.lock import Lock
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.gathering import Block, Slots
from aitrade_cli.replay.schema import Schema

COMMIT_BYTES: Final = 4 * 1024**2  # of records that wait at most
FEWEST_RESIDENT: Final = 256
MEMORY_SHARE: Final = 0.5  # of what is free, where nobody said how much


class Disk:
    """A folder, its ring in memory, and how rows get from the one to the other.

    Attributes:
        partly: whether some live records are on disk only.
    """

    def __init__(
        self,
        folder: Path,
        made: Manifest,
        *,
        memory: int | None,
        mode: Literal["a", "r"],
        power_safe: bool,
    ) -> None:
        self.folder = folder
        self.manifest = made
        self.mode = mode
        self.codecs = codecs_of(made)
        self.lock = Lock(folder) if mode == "a" else None
        try:
            resident = resident_rows(made, memory)
            self.ring = Ring(made.schema, made.capacity, resident)
            self.layout = Layout()
            self.pager = Pager(self.ring, self.layout, self.codecs)
            seen = survey(folder, made)
            self.take_up(seen)
            self.appender = self.ready_to_append(seen, power_safe=power_safe)
        except BaseException:
            self.release()
            raise
        waiting = COMMIT_BYTES // made.schema.record_bytes
        self.group = max(1, min(waiting, self.ring.resident // 4))

    @property
    def partly(self) -> bool:
        return self.ring.live > self.ring.resident

    def take_up(self, seen: Survey) -> None:
        """Load what was acknowledged since the last time."""
        since = self.ring.total
        known = {(block.segment, block.found.offset) for block in self.layout.placed}
        for segment in seen.segments:
            for found in segment.found:
                if found.header.end <= seen.total and (segment.first, found.offset) not in known:
                    self.layout.append(Placed(segment.first, segment.path, found))
            load_segment(self.ring, segment, seen.total, self.codecs)
        if self.ring.total < seen.total:
            lose(self.ring, seen.total)
        tie(self.ring, since)

    def ready_to_append(self, seen: Survey, *, power_safe: bool) -> Appender | None:
        """Cut off what was never acknowledged, and stand behind the rest."""
        if self.mode == "r":
            return None
        cut_tail(seen)
        if seen.mark is None:
            raise NoStore(
                f"both marks of `{self.folder}/head` are damaged",
                hint=f"`aitrade replay repair {self.folder}`",
            )
        made = Appender(
            self.folder,
            self.manifest,
            self.ring,
            self.layout,
            Head(self.folder, seen.mark),
            self.codecs[-1],
            self.pager.forget,
            power_safe=power_safe,
        )
        whole = seen.segments and not seen.segments[-1].gaps and seen.segments[-1].header_whole
        if whole and self.layout.placed and self.layout.placed[-1].found.header.end == seen.total:
            last = self.layout.placed[-1]
            made.resume(last.segment, last.found.end)
        return made

    def after_add(self) -> None:
        """Commit where a group has come together."""
        appender = self.appender
        if appender is not None and self.ring.total - appender.written >= self.group:
            appender.commit()

    def make_room(self, most: int) -> None:
        """Commit before rows that were not written would be overwritten.

        Raises:
            Usage: so many rows never fit.
        """
        ring, appender = self.ring, self.appender
        if appender is None:
            return
        waiting = ring.total - appender.written + len(ring.last)
        if waiting + most > ring.resident:
            appender.commit()
        if most + len(ring.last) > ring.resident:
            raise Usage(
                f"{most} rows at once do not fit into the {ring.resident} rows in memory",
                hint="use a larger `memory` or capacity",
            )

    def commit(self) -> int:
        return self.ring.total if self.appender is None else self.appender.commit()

    def refresh(self) -> int:
        """Take up what the writer acknowledged since."""
        if self.mode == "r":
            self.take_up(survey(self.folder, self.manifest))
            for path in self.layout.drop_before(self.ring.first):
                self.pager.forget(path)
        return self.ring.total

    def fetch(self, slots: Slots, out: Block) -> None:
        self.pager.fetch(slots, out)

    def restore(self, sampler: Sampler) -> None:
        restore(self.folder, sampler, self.ring)

    def close(self, sampler: Sampler) -> None:
        """Commit, keep what the sampler knows, and let go."""
        try:
            if self.appender is not None:
                self.appender.commit()
                keep(self.folder, sampler, self.ring.total)
                self.appender.close()
                self.appender = None
        finally:
            self.release()

    def release(self) -> None:
        if self.lock is not None:
            self.lock.release()
        if hasattr(self, "pager"):
            self.pager.close()


def open_disk(
    folder: Path,
    schema: Schema | None,
    capacity: int | None,
    memory: int | None,
    codec: Codec | None,
    mode: Literal["a", "r"],
    *,
    power_safe: bool,
) -> Disk:
    """Open the store in a folder, made anew where there is none.

    Raises:
        AitradeError: see `opening`.
    """
    if is_store(folder):
        made = manifest_in(folder)
        if schema is not None:
            refuse_other(schema, made.schema, folder)
    elif mode == "r":
        made = manifest_in(folder)  # says what is missing
    else:
        if schema is None or capacity is None:
            raise NoStore(f"there is no replay store at `{folder}`")
        made = create_store(folder, NewStore(schema, capacity, codec))
    return Disk(folder, made, memory=memory, mode=mode, power_safe=power_safe)


def resident_rows(made: Manifest, memory: int | None) -> int:
    """How many records fit into the memory that may be used.

    Raises:
        Usage: not even a few do.
    """
    if memory is None:
        memory = int(psutil.virtual_memory().available * MEMORY_SHARE)
    rows = memory // made.schema.record_bytes
    fewest = min(made.capacity, FEWEST_RESIDENT)
    if rows < fewest:
        raise Usage(
            f"{memory:,} bytes hold {rows} records of {made.schema.record_bytes}",
            hint=f"give `--memory` {fewest * made.schema.record_bytes} or more",
        )
    return min(rows, made.capacity)


def cut_tail(seen: Survey) -> None:
    """Remove what was written and never acknowledged."""
    for segment in seen.segments:
        kept = [block for block in segment.found if block.header.end <= seen.total]
        end = kept[-1].end if kept else segment.start
        if end >= segment.size or not seen.is_tail(segment, end):
            continue
        if kept or segment.first < seen.total or segment is seen.segments[0]:
            os.truncate(segment.path, end)
        else:
            segment.path.unlink()
