"""The part of a store that lies in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from aitrade_cli.errors import Refused, Usage
from aitrade_cli.replay.disk.appending import Appender, told_when_full
from aitrade_cli.replay.disk.head import Head
from aitrade_cli.replay.disk.keeping import keep, restore
from aitrade_cli.replay.disk.layout import Layout
from aitrade_cli.replay.disk.loading import load_segment, lose, pass_over, tie
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.opening import (
    ForeignFolder,
    NewStore,
    NoStore,
    create_store,
    is_store,
    manifest_in,
    refuse_other,
)
from aitrade_cli.replay.disk.packing import codecs_of
from aitrade_cli.replay.disk.paging import Pager
from aitrade_cli.replay.disk.resident import resident_rows
from aitrade_cli.replay.disk.scanning import Moved
from aitrade_cli.replay.disk.survey import MOST_LOOKS, Segment, Survey, survey
from aitrade_cli.replay.disk.tail import cut_tail
from aitrade_cli.replay.interfaces import Codec, Sampler
from aitrade_cli.replay.lock import Lock
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.gathering import Block, Slots
from aitrade_cli.replay.schema import Schema

COMMIT_BYTES: Final = 4 * 1024**2  # of records that wait at most


class Closed(Refused):
    """The store was closed and something was still asked of it."""

    default_hint = "open it again, or close it later"


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
        self.closed = False
        self.codecs = codecs_of(made)
        self.lock = Lock(folder) if mode == "a" else None
        try:
            resident = resident_rows(made, memory)
            self.ring = Ring(made.schema, made.capacity, resident)
            self.layout = Layout()
            self.pager = Pager(self.ring, self.layout, codecs_of(made))
            self.known: tuple[Segment, ...] = ()  # segments as they were last surveyed
            seen = self.take_up()
            self.appender = self.ready_to_append(seen, power_safe=power_safe)
        except BaseException:
            self.release()
            raise
        waiting = COMMIT_BYTES // made.schema.record_bytes
        self.group = max(1, min(waiting, self.ring.resident // 4))

    @property
    def partly(self) -> bool:
        return self.ring.live > self.ring.resident

    def take_up(self) -> Survey:
        """Load what was acknowledged since the last time; what was found.

        Raises:
            Moved: the writer lets go of rows faster than they can be loaded.
        """
        ring, since = self.ring, self.ring.total
        seen = self.survey()
        try:
            for look in range(MOST_LOOKS):
                try:
                    for segment in seen.segments:
                        load_segment(ring, segment, seen.total, self.codecs)
                    break
                except Moved:
                    if look == MOST_LOOKS - 1:
                        raise
                seen = self.survey()
        finally:
            # What could not be loaded is known by its number: no row leads past it.
            if ring.total < seen.total:
                lose(ring, seen.total)
            tie(ring, since)
        self.place(seen.segments)
        return seen

    def survey(self) -> Survey:
        """The folder as it is now, with the codecs that its blocks name."""
        before = set(map(id, self.known))
        seen = survey(self.folder, self.manifest, self.known)
        self.known = seen.segments
        fresh = [part for part in seen.segments if id(part) not in before]
        most = max((block.header.codec for part in fresh for block in part.found), default=0)
        if most >= len(self.codecs) and self.mode == "r":
            # a compact has packed them anew; it says with what before it does
            self.manifest = manifest_in(self.folder)
            self.codecs[:] = codecs_of(self.manifest)
            self.pager.codecs[:] = codecs_of(self.manifest)
        return seen

    def place(self, segments: Sequence[Segment]) -> None:
        """Know where rows lie now."""
        self.layout.follow(segments, self.ring.total)
        self.pager.follow(self.layout.placed)

    def look_again(self, moved: Moved) -> None:
        """Find the rows of a segment again that was let go of or rewritten meanwhile.

        Rows that are in no segment any more are not offered again.
        """
        ring = self.ring
        if self.mode == "a":  # nobody but us may do either
            for placed in [block for block in self.layout.placed if block.path == moved.path]:
                pass_over(ring, np.arange(placed.found.header.first, placed.found.header.end))
            return
        self.place(self.survey().segments)
        placed = self.layout.placed
        oldest = placed[0].found.header.first if placed else ring.total
        pass_over(ring, np.arange(ring.first, min(oldest, ring.total - ring.resident)))

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

    def check_open(self) -> None:
        """Raises:
        Closed: it was closed before.
        """
        if self.closed:
            raise Closed(f"the store at `{self.folder}` was closed")

    def commit(self) -> int:
        self.check_open()
        return self.ring.total if self.appender is None else self.appender.commit()

    def refresh(self) -> int:
        """Take up what the writer acknowledged since."""
        self.check_open()
        if self.mode == "r":
            self.take_up()
        return self.ring.total

    def fetch(self, slots: Slots, out: Block) -> None:
        """Copy the records of slots into ``out``.

        Raises:
            TornRecord: some are damaged, or the writer has let go of them.
        """
        self.check_open()
        try:
            self.pager.fetch(slots, out)
        except Moved as moved:
            self.look_again(moved)
            self.pager.fetch(slots, out)

    def restore(self, sampler: Sampler) -> None:
        """Give a sampler back what was kept of it.

        Raises:
            OtherSampler: another one's is kept; the store is let go of.
        """
        try:
            restore(self.folder, sampler, self.ring)
        except BaseException:
            self.release()
            raise

    def close(self, sampler: Sampler) -> None:
        """Commit, keep what the sampler knows, and let go.

        Raises:
            StoreFull: nothing was let go of; free some room and call it again.
        """
        if self.appender is not None:
            self.appender.commit()
            with told_when_full(self.folder):
                keep(self.folder, sampler, self.ring.total)
            self.appender.close()
            self.appender = None
        self.closed = True
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
        try:
            made = create_store(folder, NewStore(schema, capacity, codec))
        except ForeignFolder:
            if not is_store(folder):
                raise
            # somebody else was quicker
            made = manifest_in(folder)
            refuse_other(schema, made.schema, folder)
    return Disk(folder, made, memory=memory, mode=mode, power_safe=power_safe)
