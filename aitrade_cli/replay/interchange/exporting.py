"""Write transitions to a file of other programs; fields keep their names."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.files import sync_folder
from aitrade_cli.replay.batch import Batch
from aitrade_cli.replay.sizes import counted
from aitrade_cli.replay.store import ReplayStore
from aitrade_cli.report.blocks import Block, Facts, Verdict, view
from aitrade_cli.units import bytes_text

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE: Final = 8192
ENDINGS: Final = (".parquet", ".npz")
PLACES: Final = ("episode", "step", "env")


class NothingToExport(BadInput):
    """The store holds no transition."""

    default_hint = "`aitrade replay import STORE FILE` adds some"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    store: str
    target: str
    transitions: int
    fields: tuple[str, ...]
    size_bytes: int


def check_ending(target: str) -> None:
    """Raises:
    Usage: the name says no format that we write.
    """
    if not target.endswith(ENDINGS):
        raise Usage(f"`{target}` ends in neither {' nor '.join(ENDINGS)}")


def export(
    store: ReplayStore, target: str, say: Callable[[str], None] = lambda _: None
) -> ExportReport:
    """Write every live transition, oldest first, with its rebuilt ``next_obs``.

    Raises:
        Usage: the name says no format that we write.
        NothingToExport: there is no transition.
        OSError: the disk is full or may not be written; the old file stays.
    """
    check_ending(target)
    path = Path(target)
    neighbour = path.with_name(f".aitrade-{secrets.token_hex(8)}.tmp")
    try:
        pieces = transitions(store, say)
        first = next(pieces, None)
        if first is None:
            raise NothingToExport("the store holds no transition")
        write = write_parquet if target.endswith(".parquet") else write_npz
        count = write(neighbour, first, pieces)
        with neighbour.open("rb") as file:
            os.fsync(file.fileno())
        size = neighbour.stat().st_size
        os.replace(neighbour, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            neighbour.unlink(missing_ok=True)
    place = store.disk.folder if store.disk is not None else "memory"
    return ExportReport(str(place), target, count, tuple(first), size)


def transitions(store: ReplayStore, say: Callable[[str], None]) -> Iterator[dict[str, np.ndarray]]:
    """Live transitions in pieces."""
    count = 0
    for start in range(store.first, store.total, ROWS_AT_ONCE):
        every = np.arange(start, min(start + ROWS_AT_ONCE, store.total))
        index = every[store.sampleable(every)]
        if len(index):
            places = {name: store.column(name, index) for name in PLACES}
            yield arrays_of(store.rows(index)) | places | {"index": index}
            count += len(index)
            say(counted(count, "transition"))


def arrays_of(batch: Batch) -> dict[str, np.ndarray]:
    """The fields of a batch without the discount, which belongs to how it was drawn."""
    return {name: np.ascontiguousarray(batch[name]) for name in batch if name != "discount"}


def write_npz(
    path: Path, first: Mapping[str, np.ndarray], rest: Iterator[Mapping[str, np.ndarray]]
) -> int:
    pieces = [first, *rest]
    made = {name: np.concatenate([piece[name] for piece in pieces]) for name in first}
    with path.open("xb") as file:
        np.savez_compressed(file, **made)  # pyright: ignore[reportArgumentType]
    return len(made["index"])


def write_parquet(
    path: Path, first: Mapping[str, np.ndarray], rest: Iterator[Mapping[str, np.ndarray]]
) -> int:
    from pyarrow import parquet

    table = table_of(first)
    count = table.num_rows
    with parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        for piece in rest:
            table = table_of(piece)
            writer.write_table(table)
            count += table.num_rows
    return count


def table_of(arrays: Mapping[str, np.ndarray]) -> pa.Table:
    """Columns; further axes become lists of a fixed length."""
    import pyarrow as pa

    return pa.table({name: column_of(value) for name, value in arrays.items()})


def column_of(array: np.ndarray) -> pa.Array:
    import pyarrow as pa

    made = pa.array(array.reshape(-1))
    for size in reversed(array.shape[1:]):
        made = pa.FixedSizeListArray.from_arrays(made, size)
    return made


@dataclass(frozen=True, slots=True)
class DrawnField:
    """One array of a batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SampleReport:
    """The batch that was drawn."""

    store: str
    sampler: str
    rows: int
    transitions: int  # that could have been drawn
    seed: int
    fields: tuple[DrawnField, ...]  # all that the file holds, indices and weights included
    target: str | None = None  # where it was written
    size_bytes: int | None = None


def packed(batch: Batch) -> bytes:
    """A batch as .npz, indices and weights included."""
    made = {name: np.ascontiguousarray(value) for name, value in arrays_in(batch).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **made)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def report_of(
    store: ReplayStore,
    batch: Batch,
    seed: int,
    target: str | None = None,
    size_bytes: int | None = None,
) -> SampleReport:
    place = store.disk.folder if store.disk is not None else "memory"
    fields = tuple(
        DrawnField(name, value.dtype.name, value.shape) for name, value in arrays_in(batch).items()
    )
    return SampleReport(
        str(place),
        store.sampler.name,
        len(batch),
        store.drawable(),
        seed,
        fields,
        target,
        size_bytes,
    )


def arrays_in(batch: Batch) -> dict[str, np.ndarray]:
    """Everything that a batch on disk holds."""
    made = {name: np.asarray(batch[name]) for name in batch}
    made["indices"] = batch.indices
    if batch.weights is not None:
        made["weights"] = batch.weights
    return made


@view.register
def _(report: SampleReport) -> Sequence[Block]:
    of = counted(report.transitions, "transition")
    said = f"Drew {report.rows:,} of {of}, {report.sampler}"
    facts = [("Store", report.store)]
    if report.target is not None:
        facts.append(("File", f"{report.target}, {bytes_text(report.size_bytes)}"))
    rows = tuple(
        (field.name, f"{'x'.join(map(str, field.shape))} {field.dtype}") for field in report.fields
    )
    return Verdict(said, good=True), Facts("", (*facts, *rows))


@view.register
def _(report: ExportReport) -> Sequence[Block]:
    facts = (
        ("File", f"{report.target}, {bytes_text(report.size_bytes)}"),
        ("Fields", ", ".join(report.fields)),
    )
    said = f"Wrote {counted(report.transitions, 'transition')}"
    return Verdict(said, good=True), Facts("", (("Store", report.store), *facts))
