"""Bars: read as they stand, refused column by column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import (
    BarsUnreadable,
    SymbolNeeded,
    SymbolUnknown,
    read_bars,
)
from aitrade_cli.market.columns import WrongBars

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "bars"
HEADER = "timestamp,open,high,low,close,volume\n"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        path = tmp_path / "prices.csv"
        path.write_text(text)
        return path

    return put


@pytest.mark.parametrize(
    ("name", "symbol", "rows"),
    [
        ("sp500_1d", None, 5031),
        ("nasdaq_1d", None, 5031),
        ("eurusd_1h", None, 6225),
        ("stocks_1d", "AAPL", 3270),
        ("stocks_1d", "FB", 196),
    ],
)
def test_every_fixture_is_read_whole(name: str, symbol: str | None, rows: int) -> None:
    bars = read_bars(FIXTURES / f"{name}.parquet", symbol)
    assert len(bars) == rows
    assert bars.symbol == (symbol or name)


@pytest.mark.parametrize("name", ["sp500_1d", "nasdaq_1d", "stocks_1d", "eurusd_1h"])
def test_the_provenance_names_the_bytes_that_lie_there(name: str) -> None:
    page = (FIXTURES / f"{name}.md").read_text()
    named = re.search(rf"sha256 of `{name}\.parquet` \| `(\w+)`", page)
    assert named is not None
    digest = hashlib.sha256((FIXTURES / f"{name}.parquet").read_bytes()).hexdigest()
    assert named.group(1) == digest
    linked = re.search(r"\(\.\./licenses/([^)]+)\)", page)
    assert linked is not None
    assert (FIXTURES.parent / "licenses" / linked.group(1)).is_file()


def test_prices_are_those_of_the_source() -> None:
    # First row of arch/data/sp500/sp500.csv.gz.
    bars = read_bars(FIXTURES / "sp500_1d.parquet")
    first = (bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0])
    assert first == (1229.22998, 1248.810059, 1219.099976, 1228.099976, 877000000.0)
    assert bars.timestamp_ns[0] == 915_408_000 * 10**9  # 1999-01-04


def test_splits_are_adjusted_away() -> None:
    # AAPL split two for one on 2005-02-28; as traded it closed at 88.99, then at 44.86.
    bars = read_bars(FIXTURES / "stocks_1d.parquet", "AAPL")
    change = bars.close[1:] / bars.close[:-1] - 1
    split = int(np.searchsorted(bars.timestamp_ns, 1_109_548_800 * 10**9)) - 1
    assert change[split] == pytest.approx(44.86 * 2 / 88.99 - 1, abs=1e-3)


def test_csv_and_parquet_of_the_same_bars_agree(tmp_path: Path) -> None:
    table = pq.read_table(FIXTURES / "eurusd_1h.parquet").slice(0, 300)
    pv.write_csv(table, tmp_path / "eurusd_1h.csv")
    from_csv = read_bars(tmp_path / "eurusd_1h.csv")
    from_parquet = read_bars(FIXTURES / "eurusd_1h.parquet").rows(0, 300)
    for name in ("timestamp_ns", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(from_csv, name), getattr(from_parquet, name)), name


@pytest.mark.parametrize(
    "time",
    [
        "2017-01-01T00:00:00Z",
        "2017-01-01",
        "2017-01-01 00:00:00",
        "2017-01-01T02:00:00+02:00",
        "2017-01-01 00:00:00+00:00",
        "1483228800",
        "1483228800.0",
        "1483228800000",
        "1483228800000000",
        "1483228800000000000",
    ],
)
def test_one_instant_in_many_spellings(write: Write, time: str) -> None:
    bars = read_bars(write(f"{HEADER}{time},1,2,1,1,3\n"))
    assert bars.timestamp_ns.tolist() == [1_483_228_800 * 10**9]


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("us", tz="America/New_York"),
        pa.timestamp("ns"),
        pa.date32(),
        pa.date64(),
    ],
)
def test_parquet_times_of_any_unit(tmp_path: Path, kind: pa.DataType) -> None:
    times = pa.array([1_483_228_800 * 10**9]).cast(pa.timestamp("ns")).cast(kind)
    one = pa.array([1.0])
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), one)
    pq.write_table(pa.table({"timestamp": times, **columns}), tmp_path / "a.parquet")
    assert read_bars(tmp_path / "a.parquet").timestamp_ns.tolist() == [1_483_228_800 * 10**9]


def test_headers_in_capitals_and_extra_columns_are_fine(write: Write) -> None:
    bars = read_bars(
        write("Adj Close,Timestamp,Open,High,Low,Close,Volume\n9,2017-01-01,1,2,1,1,3\n")
    )
    assert bars.volume.tolist() == [3.0]
    assert bars.symbol == "prices"


ROW = "2017-01-01,1,2,1,1,3\n"
SECOND = "2017-01-02,1,2,1,1,3\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "the file is empty"),
        (HEADER, "there are columns but no rows"),
        ("Date,open,high,low,close\n1,1,1,1,1\n", "no column `timestamp`; no column `volume`"),
        (f"open,{HEADER}1,{ROW}", "2 columns `open`"),
        (HEADER + ROW + ROW, "`timestamp` at row 2 repeats the one before it"),
        (HEADER + SECOND + ROW, "`timestamp` at row 2 is earlier than the one before it"),
        (HEADER + "01/02/2017,1,2,1,1,3\n", "`timestamp` at row 1 is `01/02/2017`, not ISO 8601"),
        (HEADER + ROW + ",1,2,1,1,3\n", "`timestamp` at row 2 is empty"),
        (HEADER + "true,1,2,1,1,3\n", "`timestamp` is bool, not a time"),
        (HEADER + "1000-01-01,1,2,1,1,3\n", "`timestamp` is outside the years 1678-2261"),
        (HEADER + "1e300,1,2,1,1,3\n", "`timestamp` holds `1e+300`, not a time"),
        (HEADER + ROW + "2017-01-02,x,2,1,1,3\n", "`open` at row 2 is `x`, not a number"),
        (HEADER + ROW + "2017-01-02,1,,1,1,3\n", "`high` at row 2 is empty"),
        (HEADER + "2017-01-01,1,2,0,1,3\n", "`low` at row 1 is `0`, not above zero and finite"),
        (HEADER + "2017-01-01,1,2,1,inf,3\n", "`close` at row 1 is `inf`, not above zero"),
        (HEADER + "2017-01-01,1,2,1,1,-3\n", "`volume` at row 1 is `-3`, not zero or more"),
        (HEADER + "2017-01-01,1,1,2,1,3\n", "`high` 1 is below `low` 2 at row 1"),
        (HEADER + "2017-01-01,true,2,1,1,3\n", "`open` is bool, not a number"),
    ],
)
def test_what_is_wrong_is_named(write: Write, text: str, wanted: str) -> None:
    with pytest.raises(WrongBars) as caught:
        read_bars(write(text))
    assert wanted in str(caught.value)
    assert caught.value.exit_code == 4
    assert caught.value.hint


def test_every_wrong_column_is_named_in_one_line(write: Write) -> None:
    with pytest.raises(WrongBars) as caught:
        read_bars(write(HEADER + "2017-01-01,-1,2,x,1,\n"))
    assert len(caught.value.problems) == 3
    assert "\n" not in str(caught.value)


def test_a_nan_in_parquet_is_named_with_its_row(tmp_path: Path) -> None:
    table = pq.read_table(FIXTURES / "sp500_1d.parquet").slice(0, 9)
    close = table["close"].to_numpy().copy()
    close[6] = np.nan
    table = table.set_column(4, "close", pa.array(close))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(WrongBars, match="`close` at row 7 is `nan`"):
        read_bars(tmp_path / "a.parquet")


def test_rows_keep_the_number_they_have_in_the_file(write: Write) -> None:
    text = f"symbol,{HEADER}A,{ROW}B,{ROW}A,2017-01-02,-1,2,1,1,3\n"
    with pytest.raises(WrongBars, match="`open` at row 3"):
        read_bars(write(text), "A")
    assert len(read_bars(write(text), "B")) == 1


def test_several_instruments_need_a_choice() -> None:
    with pytest.raises(SymbolNeeded) as caught:
        read_bars(FIXTURES / "stocks_1d.parquet")
    assert "AAPL, FB, GOOG, IBM, MSFT" in caught.value.hint
    with pytest.raises(SymbolUnknown, match="`TSLA`"):
        read_bars(FIXTURES / "stocks_1d.parquet", "TSLA")
    with pytest.raises(SymbolUnknown, match="no column `symbol`"):
        read_bars(FIXTURES / "sp500_1d.parquet", "SPX")


@pytest.mark.parametrize("rest", [b"", b"\x00" * 40, b"\xff" * 40 + b"PAR1"])
def test_a_broken_parquet_file_is_unreadable(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + rest)
    with pytest.raises(BarsUnreadable):
        read_bars(tmp_path / "a.parquet")


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.parquet", tmp_path):
        with pytest.raises(BarsUnreadable):
            read_bars(path)


@given(st.data())
def test_damaged_bytes_give_a_clear_refusal_or_bars(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = (FIXTURES / "eurusd_1h.parquet").read_bytes()[-3000:]
    base = data.draw(st.sampled_from([b"PAR1" + whole, (HEADER + ROW + SECOND).encode()]))
    damaged = bytearray(base)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        bars = read_bars(path)
    except BadInput as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 - either outcome is right
    else:
        assert np.isfinite(bars.close).all()
