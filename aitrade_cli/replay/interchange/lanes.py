"""Which environment and episode the rows of a file belong to, where it says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interchange.incoming_files import Chunk

ENV, EPISODE, STEP = "env", "episode", "step"
PLACES: Final = frozenset((ENV, EPISODE, STEP))


class MixedEpisodes(BadInput):
    """The rows of an episode do not follow one another."""

    default_hint = (
        "sort the rows by `episode`, or say with `env` which of them one environment made"
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a chunk that one environment made one after the other.

    Attributes:
        env: which.
        rows: their numbers in the chunk, rising.
        begins: whether an episode begins here though nothing before says that one ended.
    """

    env: int
    rows: np.ndarray
    begins: bool


@dataclass(slots=True)
class Lane:
    """What was seen of an environment so far."""

    episode: int | None = None
    over: bool = True
    left: set[int] = field(default_factory=set)  # episodes that others followed, not ended


class Lanes:
    """Splits chunks by `env` and `episode`; without these all rows are those of one environment.

    Args:
        first: row of the next chunk, for messages.
    """

    def __init__(self) -> None:
        self.first = 0
        self.lanes: dict[int, Lane] = {}

    def pieces(self, chunk: Chunk, ended: np.ndarray) -> Iterator[Piece]:
        """Environments in the order in which they come, the rows of each in theirs.

        Args:
            chunk: columns of rows.
            ended: which of the rows say that they are the last of their episode.

        Raises:
            MixedEpisodes: an episode goes on after another one of its environment.
            BadInput: `env` or `episode` is not made of whole numbers from 0 on.
        """
        count = len(ended)
        envs = whole(chunk, ENV, count)
        episodes = whole(chunk, EPISODE, count) if EPISODE in chunk else None
        every, starts = np.unique(envs, return_index=True)
        for env in every[np.argsort(starts)].tolist():
            rows = np.flatnonzero(envs == env)
            if episodes is None:
                yield Piece(env, rows, begins=False)
                continue
            yield from self.by_episode(env, rows, episodes[rows], ended[rows])
        self.first += count

    def by_episode(
        self, env: int, rows: np.ndarray, episodes: np.ndarray, ended: np.ndarray
    ) -> Iterator[Piece]:
        lane = self.lanes.setdefault(env, Lane())
        turns = np.flatnonzero(np.diff(episodes)) + 1
        cuts, begins = [0], [False]
        for at in [0, *turns.tolist()]:
            before = lane.episode if at == 0 else int(episodes[at - 1])
            over = lane.over if at == 0 else bool(ended[at - 1])
            now = int(episodes[at])
            if before is None or before == now:
                continue
            if not over:
                lane.left.add(before)
                if at == 0:
                    begins[0] = True
                else:
                    cuts.append(at)
                    begins.append(True)
            if now in lane.left:
                raise MixedEpisodes(
                    f"episode {now} goes on in row {self.first + rows[at]:,}, "
                    f"after another one of environment {env}"
                )
        lane.episode, lane.over = int(episodes[-1]), bool(ended[-1])
        for start, end, new in zip(cuts, [*cuts[1:], len(rows)], begins, strict=True):
            yield Piece(env, rows[start:end], new)


def whole(chunk: Chunk, name: str, count: int) -> np.ndarray:
    """A column of whole numbers; zeros where there is none.

    Raises:
        BadInput: it holds something else.
    """
    if name not in chunk:
        return np.zeros(count, np.int64)
    column = chunk[name].reshape(-1)
    if column.dtype.kind not in "iu" or len(column) != count or column.min() < 0:
        raise BadInput(f"`{name}` is not made of whole numbers from 0 on")
    return column.astype(np.int64)
