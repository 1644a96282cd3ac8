"""The columns of a bar file: which there must be, and their values as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from aitrade_cli.errors import BadInput

PRICE_COLUMNS = ("open", "high", "low", "close")
FLOAT_COLUMNS = (*PRICE_COLUMNS, "volume")
COLUMNS = ("timestamp", *FLOAT_COLUMNS)
NUMBERED_FROM = 1  # messages count rows of data from 1, the header not among them
SHOWN_LETTERS = 60
SECONDS_BELOW, MILLISECONDS_BELOW, MICROSECONDS_BELOW = 1e11, 1e14, 1e17


class WrongBars(BadInput):
    """Columns or rows of a bar file that cannot be used."""

    default_hint = (
        "bars need the columns timestamp, open, high, low, close, volume"
        " (docs/reference/bar-schema.md)"
    )

    def __init__(self, source: str, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__(f"`{source}`: {'; '.join(problems)}", hint=hint)
        self.problems = tuple(problems)


def shown(text: str) -> str:
    """A value from the file, fit for one line: a hostile one may hold anything."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= SHOWN_LETTERS else line[:SHOWN_LETTERS] + "…"


def read_table(data: bytes, source: str) -> pa.Table:
    """Parse Parquet or CSV and keep the columns of bars, under their own lower-case names.

    Raises:
        WrongBars: columns are missing, doubled or of a wrong type, or there are no rows.
        pyarrow.ArrowException: the bytes are neither Parquet nor CSV.
    """
    if not data.strip():
        raise WrongBars(source, ("the file is empty",))
    buffer = pa.BufferReader(data)
    if data[:4] == b"PAR1":
        # Only what is needed is decoded: a file may have hundreds of other columns.
        parquet = pq.ParquetFile(buffer)
        names = wanted_names(parquet.schema_arrow.names, source)
        table = parquet.read(columns=list(names))
    else:
        table = pv.read_csv(buffer)
        names = wanted_names(table.column_names, source)
    table = table.select(list(names)).rename_columns(list(names.values()))
    problems = [
        f"`{field.name}` is {field.type}, not {wanted}"
        for field in table.schema
        if (wanted := wanted_type(field)) is not None
    ]
    if problems:
        raise WrongBars(source, problems)
    if table.num_rows == 0:
        raise WrongBars(source, ("there are columns but no rows",))
    return with_text_symbol(table, source)


def wanted_names(names: Sequence[str], source: str) -> dict[str, str]:
    """Map the file's spelling of each bar column to ours."""
    lower = [name.strip().lower() for name in names]
    missing = [f"no column `{name}`" for name in COLUMNS if name not in lower]
    doubled = [
        f"{lower.count(name)} columns `{name}`"
        for name in (*COLUMNS, "symbol")
        if lower.count(name) > 1
    ]
    if missing or doubled:
        found = ", ".join(f"`{shown(name)}`" for name in names[:12]) or "nothing"
        raise WrongBars(source, (*missing, *doubled, f"found {found}"))
    return {names[lower.index(name)]: name for name in (*COLUMNS, "symbol") if name in lower}


def wanted_type(field: pa.Field) -> str | None:
    """What the column should have been, or None where its type will do."""
    kind = field.type
    # Text and empty columns pass here: their first bad row says more than their type.
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return None
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if field.name == "timestamp":
        time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        return None if time or number else "a time"
    if field.name == "symbol":
        return None if pa.types.is_dictionary(kind) or pa.types.is_integer(kind) else "text"
    return None if number else "a number"


def with_text_symbol(table: pa.Table, source: str) -> pa.Table:
    if "symbol" not in table.column_names:
        return table
    text = table["symbol"].cast(pa.string())
    if text.null_count:
        row = pc.index(text.is_null(), True).as_py() + NUMBERED_FROM
        raise WrongBars(source, (f"`symbol` is empty at row {row}",))
    return table.set_column(table.column_names.index("symbol"), "symbol", text)


def epoch_ns(
    column: pa.ChunkedArray, place: Int64[np.ndarray, " rows"]
) -> tuple[Int64[np.ndarray, " rows"], tuple[str, ...]]:
    """Nanoseconds since 1970 UTC, and what was wrong; a faulty row counts as 0.

    Times with a zone are moved to UTC, times without one are taken as UTC. Numbers are an epoch
    whose unit follows from their size: below 1e11 seconds, below 1e14 milliseconds, below 1e17
    microseconds, else nanoseconds.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return _parsed_times(column, place)
    fault = _first_null(column, "timestamp", place)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            # Days become nanoseconds in two steps; Arrow has no direct cast for date32.
            exact = column.cast(pa.timestamp("ns", tz=getattr(kind, "tz", None)))
        except pa.ArrowInvalid:
            return np.zeros(len(column), np.int64), ("`timestamp` is outside the years 1678-2261",)
        return exact.cast(pa.int64()).fill_null(0).to_numpy(), fault
    values = column.cast(pa.float64(), safe=False).fill_null(0).to_numpy()
    size = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(size) or size >= 2**63:
        return np.zeros(len(column), np.int64), (
            *fault,
            f"`timestamp` holds `{size:g}`, not a time",
        )
    scale = _nanoseconds_each(size)
    if pa.types.is_integer(kind):
        return column.cast(pa.int64(), safe=False).fill_null(0).to_numpy() * scale, fault
    # Float64 cannot hold nanoseconds of today; whole microseconds it can.
    return np.rint(values * (scale / 1000)).astype(np.int64) * 1000, fault


def _nanoseconds_each(size: float) -> int:
    if size < SECONDS_BELOW:
        return 10**9
    if size < MILLISECONDS_BELOW:
        return 10**6
    return 1000 if size < MICROSECONDS_BELOW else 1


def _parsed_times(
    column: pa.ChunkedArray, place: Int64[np.ndarray, " rows"]
) -> tuple[Int64[np.ndarray, " rows"], tuple[str, ...]]:
    parsed = np.zeros(len(column), dtype=np.int64)
    for row, text in enumerate(column.to_pylist()):
        if text is None:
            return parsed, (f"`timestamp` at row {place[row]} is empty",)
        try:
            parsed[row] = _iso_ns(text)
        except pa.ArrowInvalid:
            return parsed, (f"`timestamp` at row {place[row]} is `{shown(text)}`, not ISO 8601",)
    return parsed, ()


def _iso_ns(text: str) -> int:
    try:
        return pa.scalar(text).cast(pa.timestamp("ns", tz="UTC")).value
    except pa.ArrowInvalid:  # no zone in it
        return pa.scalar(text).cast(pa.timestamp("ns")).value


def numbers(
    column: pa.ChunkedArray, name: str, place: Int64[np.ndarray, " rows"]
) -> tuple[Float64[np.ndarray, " rows"], tuple[str, ...]]:
    """Float64 values, and what was wrong; a faulty row counts as 1."""
    fault = _first_null(column, name, place)
    if fault or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(pa.float64(), safe=False).fill_null(1.0).to_numpy(), fault
    values = np.ones(len(column))
    for row, text in enumerate(column.to_pylist()):
        try:
            values[row] = float(text)
        except ValueError:
            return values, (f"`{name}` at row {place[row]} is `{shown(text)}`, not a number",)
    return values, ()


def _first_null(
    column: pa.ChunkedArray, name: str, place: Int64[np.ndarray, " rows"]
) -> tuple[str, ...]:
    if not column.null_count:
        return ()
    row = pc.index(column.is_null(), True).as_py()
    return (f"`{name}` at row {place[row]} is empty",)
