"""Take recorded experience into a store: .npz, Parquet, HDF5 and NDJSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.adding.batching import incoming
from aitrade_cli.replay.disk.opening import is_store
from aitrade_cli.replay.interchange.incoming_files import Chunk, read_hdf5, read_npz, read_parquet
from aitrade_cli.replay.interchange.incoming_lines import read_lines
from aitrade_cli.replay.interchange.lanes import PLACES, Lanes
from aitrade_cli.replay.schema import NEXT, STATE, Field, Schema, SchemaMismatch
from aitrade_cli.replay.sizes import counted
from aitrade_cli.replay.store import ReplayStore
from aitrade_cli.report.blocks import Block, Facts, Verdict, view

if TYPE_CHECKING:
    from aitrade_cli.replay.interfaces import Codec

ROWS_AT_ONCE: Final = 4096
READERS: Final = {
    ".npz": read_npz,
    ".parquet": read_parquet,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
# As D4RL, Minari, gymnasium and the usual buffers call the same things.
NAMES: Final = {
    "observation": "obs",
    "observations": "obs",
    "action": "act",
    "actions": "act",
    "rew": "reward",
    "rewards": "reward",
    "next_observation": "next_obs",
    "next_observations": "next_obs",
    "done": "terminated",
    "dones": "terminated",
    "terminal": "terminated",
    "terminals": "terminated",
    "terminations": "terminated",
    "timeout": "truncated",
    "timeouts": "truncated",
    "truncations": "truncated",
}
OF_THE_STORE: Final = PLACES | {"discount", "index"}
ENDS: Final = ("terminated", "truncated")
NOT_FIELDS: Final = OF_THE_STORE | set(ENDS)


class CannotImport(BadInput):
    """The file holds no transitions that we can read."""

    default_hint = (
        "it needs `obs`, `act`, `reward` and `terminated` or `done`, one row a transition"
    )


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What came in."""

    store: str
    source: str
    created: bool
    transitions: int
    episodes: int
    rows_acknowledged: int
    rows_live: int  # without those that only hold a last state
    transitions_live: int  # of them those that can be drawn


def import_into(
    folder: Path,
    source: str,
    lines: TextIO | None,
    *,
    capacity: int,
    codec: Codec | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Add every transition of ``source`` to a store, made where there is none.

    Args:
        folder: of the store.
        source: a file, or its name where ``lines`` is given.
        lines: NDJSON to read instead of a file.
        capacity: of a new store.
        codec: of a new store.
        say: told how far it is.

    Raises:
        CannotImport: the source cannot be read or holds something else.
        SchemaMismatch: its fields are not those of the store.
        StoreFull: the disk is full; what came before stays.
    """
    chunks = checked(chunks_of(source, lines), source)
    first = next(chunks, None)
    if first is None:
        raise CannotImport(f"`{source}` holds no transition")
    created = not is_store(folder)
    schema = schema_of(first, source)
    if created:
        refuse_few(schema, source)
        try:  # nothing is made for rows that do not fit
            incoming(schema, fields_of(first))
        except SchemaMismatch as error:
            raise CannotImport(f"cannot keep `{source}`: {error}") from error
    with ReplayStore(
        folder,
        capacity if created else None,
        schema=schema if created else None,
        codec=codec if created else None,
    ) as store:
        try:
            count = add_chunks(store, first, chunks, say)
        except SchemaMismatch as error:
            raise SchemaMismatch(str(error), hint=other_fields(folder, source)) from error
        store.commit()
        return ImportReport(
            str(folder),
            source,
            created,
            count,
            store.ring.next_episode,
            store.total,
            len(store),
            store.drawable(),
        )


def other_fields(folder: Path, source: str) -> str:
    return (
        f"`aitrade replay info {folder}` shows its fields; "
        f"`aitrade replay import {folder}-new {source}` makes a store of the source's"
    )


def add_chunks(
    store: ReplayStore, first: Chunk, rest: Iterator[Chunk], say: Callable[[str], None]
) -> int:
    """Add transitions in the order in which they come; how many."""
    count, lanes = 0, Lanes()
    for chunk in chain((first,), rest):
        fields, rows, ends = fields_of(chunk), rows_of(chunk), ends_of(chunk)
        for start in range(0, rows, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            places = {name: chunk[name][part] for name in PLACES & chunk.keys()}
            for piece in lanes.pieces(places, ends[part]):
                if piece.begins:
                    store.end_episode(env=piece.env)
                alone = len(piece.rows) == len(ends[part])
                where = part if alone else start + piece.rows
                store.add_batch(
                    env=piece.env, **{name: value[where] for name, value in fields.items()}
                )
        count += rows
        say(counted(count, "transition"))
    return count


def fields_of(chunk: Chunk) -> Chunk:
    return {name: value for name, value in chunk.items() if name not in OF_THE_STORE}


def rows_of(chunk: Chunk) -> int:
    return len(next(iter(chunk.values()), ()))


def ends_of(chunk: Chunk) -> np.ndarray:
    """Which rows are the last of their episodes."""
    marks = [np.asarray(chunk[name]).reshape(-1) for name in ENDS if name in chunk]
    return np.logical_or.reduce([mark.astype(np.bool_) for mark in marks])


def checked(chunks: Iterator[Chunk], source: str) -> Iterator[Chunk]:
    """Chunks that hold rows, whose ends are marked and whose rewards are numbers.

    Raises:
        CannotImport: one of them does not.
    """
    before = 0
    for chunk in chunks:
        if not rows_of(chunk):
            continue
        if not chunk.keys() & set(ENDS):
            raise CannotImport(f"`{source}` has neither `terminated` nor `done`")
        reward = chunk.get("reward")
        if reward is not None and reward.dtype.kind == "f" and not np.isfinite(reward).all():
            row = int(np.flatnonzero(~np.isfinite(reward.reshape(len(reward), -1)).all(axis=1))[0])
            raise CannotImport(
                f"the reward of row {before + row:,} of `{source}` is {reward[row].item()}",
                hint="a learner would take over what is no number; leave such rows out",
            )
        yield chunk
        before += rows_of(chunk)


def refuse_few(schema: Schema, source: str) -> None:
    """Raises:
    CannotImport: the source lacks what a learner needs.
    """
    for name in ("act", "reward"):
        if not any(field.name.split(".")[0] == name for field in schema.fields):
            raise CannotImport(f"`{source}` has no `{name}`")


def chunks_of(source: str, lines: TextIO | None) -> Iterator[Chunk]:
    """The transitions of a source under our names, some at a time.

    Raises:
        CannotImport: it is no kind that we know, or damaged.
    """
    if lines is not None:
        yield from map(renamed, read_lines(lines, ROWS_AT_ONCE))
        return
    path = Path(source)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise CannotImport(
            f"`{source}` is none of {', '.join(READERS)}", hint="`-` reads NDJSON from stdin"
        )
    try:
        yield from map(renamed, reader(path))
    except OSError as error:
        raise CannotImport(f"cannot read `{source}`: {error.strerror or error}") from error
    except (ValueError, KeyError) as error:
        raise CannotImport(f"cannot read `{source}`: {error}") from error


def renamed(chunk: Chunk) -> Chunk:
    """Our names; an episode that was cut off by time is not terminated."""
    made: Chunk = {}
    for name, value in chunk.items():
        head, dot, rest = name.partition(".")
        made[NAMES.get(head, head) + dot + rest] = value
    if chunk.keys() & {"done", "dones"} and "truncated" in made:
        ended = np.asarray(made["terminated"]).astype(np.bool_).reshape(-1)
        cut = np.asarray(made["truncated"]).astype(np.bool_).reshape(-1)
        made["terminated"] = ended & ~cut
    return made


def schema_of(chunk: Chunk, source: str) -> Schema:
    """The fields that a new store needs for these transitions.

    Raises:
        CannotImport: there is no observation among them.
    """
    if not any(name == STATE or name.startswith(f"{STATE}.") for name in chunk):
        raise CannotImport(f"`{source}` has no `obs`")
    fields = [
        Field(name, "float32" if name == "reward" else value.dtype.name, value.shape[1:])
        for name, value in chunk.items()
        if name not in NOT_FIELDS and not name.startswith(NEXT + STATE)
    ]
    return Schema(tuple(fields))


@view.register
def _(report: ImportReport) -> Sequence[Block]:
    made = "a new store" if report.created else "the store"
    facts = [
        ("Episodes in it", f"{report.episodes:,}"),
        ("Transitions in it", f"{report.transitions_live:,}"),
        ("Rows acknowledged", f"{report.rows_acknowledged:,}"),
    ]
    blind = report.rows_live - report.transitions_live
    if blind:
        facts.insert(2, ("Not to be drawn", f"{blind:,}: nothing says which state came next"))
    said = f"Took {counted(report.transitions, 'transition')} into {made}"
    return Verdict(said, good=True), Facts("", (("Store", report.store), *facts))
