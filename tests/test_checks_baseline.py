"""A ratio may fall behind an earlier run's by the tolerance and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.checks.baseline import BadBaseline, Earlier, compare, read_baseline
from aitrade_cli.checks.result import Measured
from aitrade_cli.report.ndjson import write
from tests.lines import HELD, line

TOLERANCES = st.floats(0.0, 1.0)


def measured(speedup: float | None, memory_saved: float | None = None) -> Measured:
    return Measured(speedup, None, None, memory_saved)


@given(st.floats(0.1, 100.0), st.floats(-2.0, 0.99), TOLERANCES)
def test_the_same_numbers_are_never_a_regression(
    speedup: float, memory_saved: float, tolerance: float
) -> None:
    now = line(measured=measured(speedup, memory_saved))
    assert compare(now, Earlier(speedup, memory_saved), tolerance) == now


@given(st.floats(0.1, 100.0), st.floats(0.001, 0.9))
def test_a_fall_beyond_the_tolerance_is_one_and_within_it_is_none(
    speedup: float, tolerance: float
) -> None:
    slower = line(measured=measured(speedup * (1 - tolerance) * 0.999))
    enough = line(measured=measured(speedup * (1 - tolerance) * 1.001))
    assert compare(slower, Earlier(speedup, None), tolerance).regression
    assert compare(enough, Earlier(speedup, None), tolerance).regression is None


def test_memory_is_compared_by_what_is_left_of_it() -> None:
    earlier = Earlier(None, 0.75)  # a quarter was left; a tenth more is 0.275
    assert compare(line(measured=measured(None, 0.726)), earlier, 0.1).regression is None
    lost = compare(line(measured=measured(None, 0.724)), earlier, 0.1)
    assert lost.regression == "memory left 27.6% after 25.0%"


def test_what_is_no_longer_measured_is_a_regression_with_a_reason() -> None:
    now = line("unavailable", measured=Measured())
    assert compare(now, Earlier(3.0, None), 0.1).regression == "speed not measured after 3.00x"


def test_both_losses_are_said() -> None:
    now = compare(line(measured=measured(1.0, 0.0)), Earlier(3.0, 0.75), 0.1)
    assert now.regression == "speed 1.00x after 3.00x; memory left 100.0% after 25.0%"
    assert now.bad


def test_a_row_that_the_earlier_run_had_not_is_left_alone() -> None:
    assert compare(HELD, None, 0.0) == HELD


def test_what_check_all_prints_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "baseline.ndjson"
    with path.open("w") as file:
        write(file, "check-all", "progress", {"text": "░ 0/1"})
        write(file, "check-all", "check", HELD)
        file.write("\n")
    assert read_baseline(str(path)) == {"T0": Earlier(3.5, 0.74)}


GOOD = {"kind": "check", "data": {"id": "T0", "measured": {"speedup": 1, "memory_saved": None}}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no check"),
        ('{"kind": "report", "data": {}}', "holds no check"),
        ("not json", "no output of"),
        ("[]", "no output of"),
        ("1", "no output of"),
        (json.dumps(GOOD).replace("measured", "found"), "no output of"),
        (json.dumps(GOOD).replace(": 1,", ': "fast",'), "no output of"),
        (json.dumps(GOOD).replace(": 1,", ": NaN,"), "no output of"),
        (json.dumps(GOOD).replace(": 1,", ": Infinity,"), "no output of"),
        (json.dumps(GOOD)[:-5], "no output of"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "b").write_text(text)
    with pytest.raises(BadBaseline, match=reason) as failure:
        read_baseline(str(tmp_path / "b"))
    assert "check-all --json" in failure.value.hint


@given(st.binary(max_size=200))
def test_no_bytes_give_anything_but_that_failure(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("baseline") / "b"
    path.write_bytes(data)
    with pytest.raises(BadBaseline):
        read_baseline(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadBaseline, match=r"cannot read `.*missing`: No such file"):
        read_baseline(str(tmp_path / "missing"))
