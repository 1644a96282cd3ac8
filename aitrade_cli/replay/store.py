"""The replay store: one engine in memory and on disk."""

# long because it is the library's face: a third of it says what each call promises

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool

from aitrade_cli.errors import Refused, Usage
from aitrade_cli.replay.adding.batching import final_states, incoming
from aitrade_cli.replay.adding.sequences import Sequences
from aitrade_cli.replay.adding.singly import Adder
from aitrade_cli.replay.adding.vectors import add_step
from aitrade_cli.replay.batch import Batch, new_block
from aitrade_cli.replay.disk.ahead import Ahead, Drawn, made_of
from aitrade_cli.replay.disk.folder import Disk, open_disk
from aitrade_cli.replay.interfaces import Codec, Indices, Sampler, Value
from aitrade_cli.replay.packing.older_rows import OlderRows
from aitrade_cli.replay.packing.packed_rows import PackedReport
from aitrade_cli.replay.ring import (
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    TRUNCATED,
    UNUSABLE,
    Ring,
    end_episode,
)
from aitrade_cli.replay.sampling.drawing import Drawing, NothingToSample, wish_of
from aitrade_cli.replay.sampling.gathering import Block, Slots, Wish, follow, from_spans, needed
from aitrade_cli.replay.sampling.gathering_kernels import which_drawable
from aitrade_cli.replay.sampling.single_steps import SingleSteps
from aitrade_cli.replay.sampling.uniform import Uniform
from aitrade_cli.replay.sampling.windows import PADS, Pad
from aitrade_cli.replay.schema import Schema

COLUMN_NAMES: Final = frozenset(("episode", "step", "env"))


class OnlyReading(Refused):
    """The store was opened for reading and something was to be added."""

    default_hint = "open it with `mode='a'`"

    def __init__(self) -> None:
        super().__init__("the store is open for reading only")


class ReplayStore:
    """Rows of experience in a ring, in memory or in a folder.

    One thread at a time: a draw while another thread adds may pair a state with a next state
    that is not its own. Where several threads share a store, hold one lock of your own around
    every call.

    Args:
        place: a schema for a store in memory, or the folder of one on disk.
        capacity: rows that are kept; the oldest go first. Needed for a new store. The last
            state of each episode takes a row too, unless the schema has ``next_obs``.
        schema: of a new store on disk.
        memory: bytes that records may take; what does not fit is read from disk.
        sampler: how batches are drawn; uniformly without it.
        codec: how blocks are packed on disk; not at all without it.
        packed: keep all but the newest rows packed, in memory: frames take a small part of
            their bytes, and a draw unpacks what it needs. Only for a store in memory.
        warm_rows: of a packed store: newest rows that stay quick to draw; those before are
            packed smaller, and drawn more slowly. All without it.
        mode: ``a`` to add, ``r`` to read beside a writer.
        seed: of the draws.
        prefetch: batches that are read from disk before they are asked for; their rows were
            drawn that much earlier. 0 reads when asked.
        power_safe: sync every commit to the disk, so that it survives a loss of power too.

    Raises:
        Usage: a new store without schema or capacity, a folder that is to be packed in memory, or
            ``warm_rows`` of a store that is not packed.
        AitradeError: the folder is another program's, damaged or in use.
    """

    def __init__(
        self,
        place: Schema | Path | str,
        capacity: int | None = None,
        *,
        schema: Schema | None = None,
        memory: int | None = None,
        sampler: Sampler | None = None,
        codec: Codec | None = None,
        packed: bool = False,
        warm_rows: int | None = None,
        mode: Literal["a", "r"] = "a",
        seed: int = 0,
        prefetch: int = 2,
        power_safe: bool = False,
    ) -> None:
        self.disk: Disk | None = None
        self.older: OlderRows | None = None
        if warm_rows is not None and not packed:
            raise Usage("`warm_rows` is for a packed store", hint="add `packed=True`")
        if isinstance(place, Schema):
            if capacity is None or capacity < 1:
                raise Usage(f"a store in memory needs a capacity of at least 1, got `{capacity}`")
            if packed:
                self.older = OlderRows(place, capacity, warm_rows)
            self.ring = Ring(place, capacity) if self.older is None else self.older.ring
        elif packed:
            raise Usage("`packed` is for a store in memory", hint="on disk it is `codec`")
        else:
            self.disk = open_disk(
                Path(place), schema, capacity, memory, codec, mode, power_safe=power_safe
            )
            self.ring = self.disk.ring
        self._behind = self.disk or self.older  # what holds the records that the ring does not
        self.mode = mode
        self.schema = self.ring.schema
        self.capacity = self.ring.capacity
        self.sampler: Sampler = sampler or Uniform()
        self.sampler.bind(self)
        if self.disk is not None:
            self.disk.restore(self.sampler)
        self._adder = Adder(self.ring)
        self._sequences = Sequences(self.ring)
        self._drawing = Drawing(self.ring, self.sampler, np.random.default_rng(seed))
        self._single_steps = SingleSteps(self.ring, self._drawing)
        self._ahead = Ahead(self.ring, self.disk, self._drawing, depth=prefetch)
        uniform = type(self.sampler) is Uniform  # not of a kind that wants to be told
        self._added: Callable[[int, int], None] | None = None if uniform else self.sampler.added

    @property
    def first(self) -> int:
        """The oldest live index."""
        return self.ring.first

    @property
    def total(self) -> int:
        """Rows ever added: one past the newest index."""
        return self.ring.total

    @property
    def bytes(self) -> int:
        """Memory that the rows can take, their columns and links and what is packed included."""
        return self.ring.bytes + (0 if self.older is None else self.older.packed.bytes)

    def packing(self) -> PackedReport | None:
        """What packing saves, and by which codecs; None for a store that packs nothing."""
        return None if self.older is None else self.older.packed.report()

    def __len__(self) -> int:
        """Live rows that hold a transition, and not only a last state.

        Among them are those that cannot be drawn, because nothing says which state came next:
        the newest of an episode that goes on, or the last of one whose ``next_obs`` was never
        given. `drawable` counts without them, row by row.
        """
        return self.ring.live - self.ring.unusable

    def drawable(self) -> int:
        """Live rows that can be drawn as single steps; looks at each."""
        ring = self.ring
        live = ring.following if ring.total >= ring.capacity else ring.following[: ring.total]
        return int(np.count_nonzero(live >= 0))

    def add(
        self,
        obs: Value,
        act: Value,
        reward: Value,
        next_obs: Value = None,
        terminated: Value = False,
        truncated: Value = False,
        *,
        env: int = 0,
        **more: Value,
    ) -> int:
        """Add one transition.

        ``next_obs`` is the true next state, at truncation too, not the one after a reset.
        It takes no room where the next call brings it as ``obs``. Without it the row can be
        drawn once the next one is there.

        Returns:
            Its index.

        Raises:
            SchemaMismatch: a field does not fit.
        """
        if self.mode == "r":
            raise OnlyReading
        if self._behind is not None:
            self._behind.check_open()
        before = self.ring.total
        index = self._adder.add(obs, act, reward, next_obs, terminated, truncated, env, more)
        if self._behind is not None:
            self._behind.after_add()
        if self._added is not None:
            self._added(before, self.ring.total - before)
        return index

    def add_batch(self, *, env: int = 0, **fields: Value) -> None:
        """Add consecutive transitions of one environment: arrays of n rows by field name.

        Raises:
            SchemaMismatch: a field does not fit; nothing was added.
        """
        rows = self._sequences.fit(fields)
        count, most = len(rows[0]), max(1, self.ring.resident // 4)
        for start in range(0, count, most):
            piece = rows if count <= most else [array[start : start + most] for array in rows]
            before = self._begin(2 * len(piece[0]) + 1)
            self._sequences.add(piece, env)
            self._end(before)

    def add_vector(self, *, final_obs: Value = None, **fields: Value) -> None:
        """Add one transition of each of n environments; row k belongs to environment k.

        Args:
            final_obs: the true last states of the environments that ended, where ``next_obs``
                holds those after the reset. Its other rows are not looked at.
            fields: arrays of n rows by field name.

        Raises:
            SchemaMismatch: a field does not fit; nothing was added.
        """
        rows = incoming(self.schema, fields)
        if not len(rows):
            return
        if 2 * len(rows) > self.ring.resident:
            raise Usage(f"{len(rows)} environments need a capacity of twice as many rows")
        last = None if final_obs is None else final_states(self.schema, final_obs, len(rows))
        before = self._begin(2 * len(rows))
        add_step(self.ring, rows, last)
        self._end(before)

    def end_episode(self, *, env: int = 0) -> None:
        """What comes next from an environment begins a new episode, though no row said so.

        ``add`` sees that by itself where a row does not begin with the ``next_obs`` of the one
        before; call this where the states happen to join, or nothing told them.
        """
        if 0 <= env < len(self.ring.last):
            before, ring = self._begin(1), self.ring
            last = ring.last[env]
            if last >= ring.first and ring.following[last % ring.capacity] == NOTHING:
                ring.flags[last % ring.capacity] |= NO_LAST_STATE  # and nobody will tell it
            end_episode(ring, env)
            self._end(before)

    def _begin(self, most: int) -> int:
        """Make room for so many rows; how many there were."""
        if self.mode == "r":
            raise OnlyReading
        if self._behind is not None:
            self._behind.check_open()
            self._behind.make_room(most)
        return self.ring.total

    def _end(self, before: int) -> None:
        """Pass on the news of what was added, to what lies behind the ring first."""
        if self._behind is not None:
            self._behind.after_add()
        if self._added is not None:
            self._added(before, self.ring.total - before)

    def sample(
        self,
        batch: int,
        *,
        n_step: int = 1,
        discount: float = 0.99,
        window: int = 0,
        pad: Pad = "repeat",
        device: str | None = None,
    ) -> Batch:
        """Draw a batch.

        Args:
            batch: rows to draw.
            n_step: rewards to sum, fewer where the episode or the store ends before.
            discount: of one step.
            window: states that ``obs`` and ``next_obs`` hold, oldest first; 0 for the
                single state.
            pad: what stands before an episode's first state: it again, zeros, or ``skip``
                such rows.
            device: None for NumPy, else torch tensors there.

        Raises:
            NothingToSample: no row can be drawn.
            Usage: a number is out of its range.
        """
        if batch < 1:
            raise Usage(f"a batch has at least 1 row, got `{batch}`")
        if self.disk is not None:
            self.disk.check_open()
        ring = self.ring
        partly = ring.total > ring.resident < ring.capacity  # some rows are behind the ring only
        if n_step == 1 and window == 0 and 0.0 <= discount <= 1.0 and pad in PADS and not partly:
            return self._single_steps.draw(batch, discount, device)
        wish = wish_of(ring, n_step, discount, window, pad)
        if partly and self.disk is not None:
            return self._ahead.take(batch, wish, device)
        indices, weights = self._drawing.draw(batch, wish)
        return self._build(indices, weights, wish, device)

    def rows(
        self,
        indices: Indices,
        *,
        n_step: int = 1,
        discount: float = 0.99,
        window: int = 0,
        pad: Pad = "repeat",
        device: str | None = None,
    ) -> Batch:
        """The same for rows that somebody else chose.

        Raises:
            NothingToSample: one of them is stale or cannot be drawn.
        """
        wish = wish_of(self.ring, n_step, discount, window, pad)
        usable = self.sampleable(indices)
        slots = indices[usable] % self.capacity
        usable[usable] = self._drawing.usable(slots, wish)
        if not usable.all():
            raise NothingToSample(f"row {indices[~usable][0]} cannot be drawn")
        return self._build(indices, None, wish, device)

    def sampleable(self, indices: Indices) -> Bool[np.ndarray, " n"]:
        """False for stale rows and for those that are not, or not yet, whole transitions."""
        ring = self.ring
        found = np.empty(len(indices), np.bool_)
        which_drawable(np.asarray(indices), ring.words, ring.first, ring.total, found)
        return found

    def waiting(self, indices: Indices) -> Bool[np.ndarray, " n"]:
        """True for live rows whose next state nobody told yet, in episodes that go on."""
        links = self.ring.links[indices % self.capacity]
        over = links["flags"] & (UNUSABLE | TERMINATED | TRUNCATED | NO_LAST_STATE) != 0
        live = (indices >= self.first) & (indices < self.total)
        return live & (links["following"] < 0) & ~over

    def column(self, name: str, indices: Indices) -> np.ndarray:
        """One field of some live rows, copied: shape ``[n, *field.shape]``."""
        if name in COLUMN_NAMES:
            return self.ring.columns[name][indices % self.capacity]
        block = new_block(len(indices), self.schema.record_bytes, None)
        self._fetch(indices % self.capacity, block)
        return block.view(self.schema.record)[:, 0][name]

    def update_priorities(self, indices: Indices, priorities: np.ndarray) -> None:
        """New priorities for rows that were drawn; what has gone meanwhile is ignored."""
        self.sampler.update(indices, priorities)

    def commit(self) -> int:
        """Write what was added; afterwards it survives a kill.

        Returns:
            Rows that are safe now.
        """
        before = self.total
        safe = before if self.disk is None else self.disk.commit()
        if self._added is not None and self.total > before:
            self._added(before, self.total - before)
        return safe

    def refresh(self) -> int:
        """Take up what a writer committed since; rows known now. Only for ``mode='r'``."""
        before = self.total
        known = before if self.disk is None else self.disk.refresh()
        if self._added is not None and known > before:
            self._added(before, known - before)
        return known

    def close(self) -> None:
        """Commit, keep the priorities, and let go of the folder."""
        self._ahead.drop()
        if self.disk is not None:
            self.disk.close(self.sampler)

    def __enter__(self) -> ReplayStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _build(
        self, indices: Indices, weights: np.ndarray | None, wish: Wish, device: str | None
    ) -> Batch:
        slots = self._drawing.slots_of(indices)
        steps = follow(self.ring, slots, wish)
        block = from_spans(self.ring, slots, steps, wish)
        if block is None:
            wanted = needed(self.ring, slots, steps, wish)
            block = new_block(len(wanted), self.schema.record_bytes, device)
            self._fetch(wanted, block)
        return made_of(self.ring, Drawn(indices, weights, steps, block), wish, device)

    def _fetch(self, slots: Slots, out: Block) -> None:
        if self._behind is not None and self._behind.partly:
            self._behind.fetch(slots, out)
        else:
            self.ring.records.take(self.ring.places(slots), axis=0, out=out, mode="clip")
