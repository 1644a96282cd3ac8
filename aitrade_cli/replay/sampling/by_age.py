"""Draws that take into account how old the policy was that made each row."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Indices, LiveRows, State
from aitrade_cli.replay.learning.lag import AgeReport, age_report
from aitrade_cli.replay.sampling.live import LiveSlots
from aitrade_cli.replay.sampling.tree import SumTree

VERSION: Final = "policy_version"
MOST_HALVINGS: Final = 40.0  # of the newest row's weight; then all are written anew
PIECE: Final = 1024  # rows whose versions are read at once: a store may read whole records


class ByAge:
    """Rows of recent policies more often, rows of old ones less, or not at all.

    A row made by version v is drawn in proportion to ``0.5 ** ((version - v) / half_life)``,
    and not where it is more than ``max_age`` versions old. Draws are stratified and carry
    no weights: what corrects them is the probability of the action, see
    `aitrade_cli.replay.learning.corrections`. The store needs the field ``policy_version``.

    Set ``version`` whenever the policy that learns gets a new one.

    Args:
        max_age: in versions; no limit without it.
        half_life: in versions; every age is as likely without it.
    """

    name = "age"

    def __init__(self, max_age: int | None = None, half_life: float | None = None) -> None:
        if max_age is not None and max_age < 0:
            raise BadInput(f"the oldest age is at least 0 versions, got `{max_age}`")
        if half_life is not None and half_life <= 0.0:
            raise BadInput(f"a half-life is longer than 0 versions, got `{half_life}`")
        self.max_age = max_age
        self.half_life = half_life
        self._version = 0
        self._base = 0  # a row of this version weighs 1
        self._live: LiveSlots | None = None
        self._tree = SumTree(1)
        self._versions = np.zeros(0, dtype=np.int64)  # by slot
        self._rows_of: dict[int, list[Indices]] = {}  # by version, where there is a limit
        self._oldest: list[int] = []  # the keys of it, as a heap

    @property
    def version(self) -> int:
        """Of the policy that learns now."""
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        if version < self._version:
            raise BadInput(f"versions only rise: `{version}` came after `{self._version}`")
        self._take_up()
        self._version = version
        self._expire()

    def bind(self, rows: LiveRows) -> None:
        self._live = LiveSlots(rows)
        self._tree = SumTree(rows.capacity)
        self._versions = np.zeros(rows.capacity, dtype=np.int64)

    def added(self, first: int, count: int) -> None:
        self._bound.added(first, count)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Indices, None]:
        """One row from each of ``count`` equal shares.

        Raises:
            NothingWeighs: every row is too old.
        """
        self._take_up()
        rows, _ = self._tree.draw_rows(rng, count, self._bound.total - 1)
        return rows, None

    def update(self, indices: Indices, priorities: np.ndarray) -> None:
        """What was learned from a row does not change its age."""

    def report(self) -> AgeReport:
        """Ages of every row that can be drawn, those beyond ``max_age`` included.

        Raises:
            BadInput: there is none.
        """
        self._take_up()
        usable = self._bound.usable()
        return age_report(self._versions[self._bound.slots_of(usable)], self._version)

    def probabilities(self, indices: Indices) -> Float64[np.ndarray, " n"]:
        """How likely each row is with every single draw; 0 for stale ones."""
        self._take_up()
        weights = self._tree.weights[self._bound.slots_of(indices)].astype(np.float64)
        return np.where(self._bound.live(indices), weights, 0.0) / self._tree.total

    def state(self) -> State:
        return {"version": np.array([self._version], dtype=np.int64)}

    def restore(self, state: State) -> None:
        """Only the version is kept; those of the rows are read from the store again."""
        self._version = int(state["version"][0])

    def _take_up(self) -> None:
        live = self._bound
        if live.settled:
            return
        for first, count in live.gone():
            self._tree.fill(first, count, 0.0)
        for first, rows, usable in live.came():
            self._tree.fill(first, len(rows), 0.0)
            self._weigh(rows[usable])
        self._weigh(live.became_whole())
        live.settle()
        self._expire()

    def _weigh(self, rows: Indices) -> None:
        """Read the versions of rows that can be drawn now, and give them their weight."""
        live = self._bound
        for start in range(0, len(rows), PIECE):
            piece = rows[start : start + PIECE]
            slots = live.slots_of(piece)
            versions = self._read(piece)
            self._version = max(self._version, int(versions.max()))
            self._versions[slots] = versions
            self._rebase(int(versions.max()))
            self._tree.assign(slots, self._weights(versions))
            if self.max_age is not None:
                self._remember(piece, versions)

    def _read(self, rows: Indices) -> Int64[np.ndarray, " n"]:
        try:
            return self._bound.column(VERSION, rows).astype(np.int64)
        except (KeyError, ValueError) as error:
            raise BadInput(
                f"the store has no field `{VERSION}`",
                hint=f"give the schema a field `{VERSION}` and add it with every row",
            ) from error

    def _weights(self, versions: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        weights = np.ones(len(versions))
        if self.half_life is not None:
            halvings = (self._base - versions) / self.half_life
            weights = np.exp2(-np.minimum(halvings, 1000.0))  # far below what a tree tells from 0
        if self.max_age is not None:
            weights[versions < self._version - self.max_age] = 0.0
        return weights

    def _rebase(self, newest: int) -> None:
        """Let the newest row weigh 1 again where weights have grown too large for float32."""
        if self.half_life is None or (newest - self._base) / self.half_life <= MOST_HALVINGS:
            return
        self._base = newest
        slots = np.flatnonzero(self._tree.weights)
        self._tree.assign(slots, self._weights(self._versions[slots]))

    def _remember(self, rows: Indices, versions: Int64[np.ndarray, " n"]) -> None:
        for version in np.unique(versions).tolist():
            if version not in self._rows_of:
                self._rows_of[version] = []
                heappush(self._oldest, version)
            self._rows_of[version].append(rows[versions == version])

    def _expire(self) -> None:
        """Take the weight of rows that are too old now."""
        if self.max_age is None:
            return
        while self._oldest and self._oldest[0] < self._version - self.max_age:
            rows = np.concatenate(self._rows_of.pop(heappop(self._oldest)))
            slots = self._bound.slots_of(rows[self._bound.live(rows)])
            self._tree.assign(slots, np.zeros(len(slots)))

    @property
    def _bound(self) -> LiveSlots:
        if self._live is None:
            raise BadInput("this sampler was not given to a store")
        return self._live
