"""Read transitions from files of other programs. Nothing in them is run."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from aitrade_cli.errors import Missing

if TYPE_CHECKING:
    import pyarrow as pa

Chunk: TypeAlias = dict[str, np.ndarray]
ROWS_AT_ONCE: Final = 16_384
# what a torn, changed or encrypted archive makes its reader raise
DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error)


class NoHdf5(Missing):
    """HDF5 needs a package that is not installed."""

    default_hint = "`pip install 'aitrade-cli[hdf5]'`"

    def __init__(self) -> None:
        super().__init__("h5py is not installed")


def read_npz(path: Path) -> Iterator[Chunk]:
    """Arrays of one length under their names.

    Raises:
        ValueError: the file is something else, or holds objects.
    """
    with path.open("rb") as opened:
        if not zipfile.is_zipfile(opened):
            raise ValueError("it is no .npz file")
        opened.seek(0)
        try:
            with np.load(opened, allow_pickle=False) as file:
                made = {name: array_of(file, name) for name in file.files}
        except DAMAGE as error:
            raise ValueError(f"it is damaged: {error}") from error
    yield same_length(made)


def array_of(file: Any, name: str) -> np.ndarray:  # noqa: ANN401 -- what np.load opens
    """Raises:
    ValueError: the array holds Python objects, or is damaged.
    """
    try:
        return file[name]
    except ValueError as error:
        if "pickle" in str(error):
            raise ValueError(f"`{name}` holds Python objects, which are never read") from None
        raise


def same_length(arrays: Chunk) -> Chunk:
    """Raises:
    ValueError: the arrays are not of one length.
    """
    lengths = {name: len(value) for name, value in arrays.items() if value.ndim}
    plain = {name: value for name, value in arrays.items() if value.ndim}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"the arrays differ in length: {said}")
    return plain


def read_parquet(path: Path) -> Iterator[Chunk]:
    """Columns of numbers, or of lists of one length.

    Raises:
        ValueError: the file is something else.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for piece in file.iter_batches(ROWS_AT_ONCE):
                columns = zip(piece.schema.names, piece.columns, strict=True)
                yield {name: as_array(column, name) for name, column in columns}
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error


def as_array(column: pa.Array, name: str) -> np.ndarray:
    """Nested lists become further axes."""
    import pyarrow as pa

    shape: list[int] = []
    values: Any = column
    while isinstance(values, pa.FixedSizeListArray | pa.ListArray | pa.LargeListArray):
        shape.append(length_of_each(values, name))
        values = values.flatten()
    if values.null_count:
        raise ValueError(f"`{name}` has missing values")
    return values.to_numpy(zero_copy_only=False).reshape(len(column), *shape)


def length_of_each(lists: pa.Array, name: str) -> int:
    """Raises:
    ValueError: a list is missing, or they differ in length.
    """
    import pyarrow as pa

    if lists.null_count:
        raise ValueError(f"`{name}` has missing values")
    if not len(lists):
        return 1
    if isinstance(lists, pa.FixedSizeListArray):
        return lists.type.list_size
    lengths = np.diff(lists.offsets.to_numpy())
    least, most = int(lengths.min()), int(lengths.max())
    if not most:
        raise ValueError(f"the lists of `{name}` are empty")
    if least != most:
        raise ValueError(f"the lists of `{name}` differ in length: {least} to {most}")
    return least


def read_hdf5(path: Path) -> Iterator[Chunk]:
    """Minari's `episode_0`, `episode_1`, …, or flat data sets as in D4RL.

    Raises:
        NoHdf5: h5py is not installed.
        OSError: the file is something else.
    """
    try:
        import h5py
    except ImportError:
        raise NoHdf5 from None
    with h5py.File(path, "r") as file:
        names = [name for name in map(str, file) if name.startswith("episode_")]
        for name in sorted(names, key=lambda name: int(name.removeprefix("episode_"))):
            yield episode(leaves(file[name], ""))
        if not names:
            yield same_length(leaves(file, ""))


def leaves(group: Any, prefix: str) -> Chunk:  # noqa: ANN401 -- h5py has no types of its own
    """Every data set below a group by its dotted name; infos are left out."""
    made: Chunk = {}
    for name, item in group.items():
        if name in {"infos", "metadata", "option"}:
            continue
        here = f"{prefix}{name}"
        if hasattr(item, "keys"):
            # Minari calls the parts of a tuple `_index_0`.
            made |= leaves(item, f"{here}.".replace("_index_", ""))
        else:
            made[here.replace("_index_", "")] = item[()]
    return {name: value for name, value in made.items() if value.dtype.kind in "biuf"}


def episode(arrays: Chunk) -> Chunk:
    """One more observation than actions: the last one is where the episode ended."""
    made: Chunk = {}
    for name, value in arrays.items():
        head, dot, rest = name.partition(".")
        if head == "observations":
            made[f"obs{dot}{rest}"] = value[:-1]
            made[f"next_obs{dot}{rest}"] = value[1:]
        else:
            made[name] = value
    return same_length(made)
