"""Bars from a Parquet or CSV file, checked column by column and row by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from aitrade_cli import files
from aitrade_cli.errors import BadInput
from aitrade_cli.market.columns import (
    FLOAT_COLUMNS,
    NUMBERED_FROM,
    PRICE_COLUMNS,
    WrongBars,
    epoch_ns,
    numbers,
    read_table,
    shown,
)

ROW_HINT = "rows are counted from 1, the header not among them"
SHOWN = 8  # symbols named in a hint; a file may hold thousands


class BarsUnreadable(BadInput):
    """The file is not there, or is neither Parquet nor CSV."""

    default_hint = "bars come as Parquet or as CSV with a header line"


class SymbolNeeded(BadInput):
    """The file holds several instruments and none was chosen."""


class SymbolUnknown(BadInput):
    """The file does not hold the instrument that was asked for."""


@dataclass(frozen=True, slots=True)
class Bars:
    """One instrument's bars in time order, as they stand in the file.

    Attributes:
        timestamp_ns: start of the bar, nanoseconds since 1970 UTC, strictly rising.
        open: first price of the bar, > 0, in the instrument's currency; ``high``, ``low``
            and ``close`` likewise, with ``high >= low``.
        volume: traded in the bar, >= 0, in the vendor's unit.
        symbol: the instrument; the file's stem where the file does not name it.
        source_sha256: of the whole file that the bars were read from.
    """

    timestamp_ns: Int64[np.ndarray, " rows"]
    open: Float64[np.ndarray, " rows"]
    high: Float64[np.ndarray, " rows"]
    low: Float64[np.ndarray, " rows"]
    close: Float64[np.ndarray, " rows"]
    volume: Float64[np.ndarray, " rows"]
    symbol: str
    source_sha256: str

    def __len__(self) -> int:
        return len(self.timestamp_ns)

    def rows(self, start: int, stop: int) -> Bars:
        """The rows ``[start, stop)``, without a copy."""
        part = slice(start, stop)
        return Bars(
            self.timestamp_ns[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
            self.symbol,
            self.source_sha256,
        )


def read_bars(path: str | Path, symbol: str | None = None) -> Bars:
    """Read one instrument's bars. The schema: ``docs/reference/bar-schema.md``.

    Parquet is known by its first bytes, not by the file's name; anything else is read as CSV.
    Column names are matched without regard to case; columns that are not asked for are ignored.

    Args:
        path: a Parquet or CSV file.
        symbol: which instrument; needed only where the file holds several.

    Raises:
        BarsUnreadable: there is no such file, or it is neither Parquet nor CSV.
        WrongBars: columns or rows that cannot be used, every one named.
        SymbolNeeded: the file holds several instruments and ``symbol`` was not given.
        SymbolUnknown: the file does not hold ``symbol``.
    """
    source = Path(path)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise BarsUnreadable(f"cannot read `{path}`: {error.strerror}") from error
    try:
        table = read_table(data, str(path))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BarsUnreadable(f"`{path}` is neither Parquet nor CSV: {shown(str(error))}") from error
    chosen, rows = choose_symbol(table, symbol, source)
    return checked_bars(table.filter(pa.array(rows)), rows, chosen, source, files.sha256(data))


def choose_symbol(
    table: pa.Table, symbol: str | None, source: Path
) -> tuple[str, Bool[np.ndarray, " rows"]]:
    """The instrument's name, and True on its rows."""
    if "symbol" not in table.column_names:
        if symbol is not None:
            raise SymbolUnknown(
                f"`{source}` has no column `symbol`, so `{symbol}` cannot be chosen from it",
                hint="leave `--symbol` out: the file is taken as one instrument",
            )
        return source.stem, np.ones(table.num_rows, dtype=bool)
    rows = table["symbol"].to_pylist()
    names = sorted(set(rows))
    listed = ", ".join(map(shown, names[:SHOWN])) + (
        f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    )
    if symbol is None and len(names) > 1:
        raise SymbolNeeded(
            f"`{source}` holds {len(names)} instruments", hint=f"choose with `--symbol`: {listed}"
        )
    chosen = names[0] if symbol is None else symbol
    if chosen not in names:
        raise SymbolUnknown(f"`{source}` does not hold `{chosen}`", hint=f"it holds {listed}")
    return chosen, np.array([name == chosen for name in rows])


def checked_bars(
    table: pa.Table, rows: Bool[np.ndarray, " all"], symbol: str, source: Path, source_sha256: str
) -> Bars:
    """Check one instrument's rows; ``rows`` says where they stood in the file."""
    place = np.flatnonzero(rows) + NUMBERED_FROM
    timestamp_ns, problems = epoch_ns(table["timestamp"], place)
    problems += rising(timestamp_ns, place)
    columns: dict[str, Float64[np.ndarray, " rows"]] = {}
    for name in FLOAT_COLUMNS:
        columns[name], found = numbers(table[name], name, place)
        problems += found
        problems += first_outside(columns[name], name, place)
    inverted = np.flatnonzero(columns["high"] < columns["low"])
    if inverted.size and not problems:
        row = inverted[0]
        high, low = columns["high"][row], columns["low"][row]
        problems += (f"`high` {high:g} is below `low` {low:g} at row {place[row]}",)
    if problems:
        raise WrongBars(str(source), problems, hint=ROW_HINT)
    return Bars(timestamp_ns=timestamp_ns, **columns, symbol=symbol, source_sha256=source_sha256)


def rising(
    timestamp_ns: Int64[np.ndarray, " rows"], place: Int64[np.ndarray, " rows"]
) -> tuple[str, ...]:
    # Row by row, not as a difference: the difference of two int64 may overflow.
    stuck = np.flatnonzero(timestamp_ns[1:] <= timestamp_ns[:-1])
    if not stuck.size:
        return ()
    row = int(stuck[0]) + 1
    again = timestamp_ns[row] == timestamp_ns[row - 1]
    fault = "repeats the one before it" if again else "is earlier than the one before it"
    return (f"`timestamp` at row {place[row]} {fault}",)


def first_outside(
    values: Float64[np.ndarray, " rows"], name: str, place: Int64[np.ndarray, " rows"]
) -> tuple[str, ...]:
    """Name the first value that no market can have printed."""
    price = name in PRICE_COLUMNS
    usable = np.isfinite(values) & ((values > 0) if price else (values >= 0))
    faults = np.flatnonzero(~usable)
    if not faults.size:
        return ()
    row = faults[0]
    wanted = "above zero" if price else "zero or more"
    return (f"`{name}` at row {place[row]} is `{values[row]:g}`, not {wanted} and finite",)
