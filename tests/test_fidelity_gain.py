"""A change is kept if it is smaller or faster beyond noise, and if it changed anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.fidelity.coverage import BadCoverage, Coverage, coverage_gate
from aitrade_cli.fidelity.gain import BadMeasurement, Gain, gain_gate


def gain(
    size: float = 1.0, speedup: float = 1.0, low: float | None = None, high: float | None = None
) -> Gain:
    """A change measured from 1 MB and 1,000 µs, with 5 % of noise."""
    return Gain(
        size_bytes_before=1_000_000,
        size_bytes_after=round(1_000_000 * size),
        latency_us_before=1000.0,
        latency_us_after=1000.0 / speedup,
        speedup_low=low,
        speedup_high=high,
        noise_band=0.05,
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (gain(0.27, 4.6), "smaller and faster"),
        (gain(0.27, 1.04), "smaller, not faster"),
        (gain(0.27, 0.8), "smaller, but slower"),
        (gain(1.0, 2.0), "faster, not smaller"),
        (gain(1.3, 2.0), "faster, but larger"),
        (gain(1.0, 1.0), "no gain"),
        (gain(1.2, 0.5), "no gain"),
        (Gain(100, 50), "smaller, speed not measured"),
        (Gain(latency_us_before=9.0, latency_us_after=3.0), "faster, size not measured"),
    ],
)
def test_the_verdict_names_both_sides(change: Gain, text: str) -> None:
    assert change.text == text
    assert gain_gate(change).status == ("missed" if text == "no gain" else "held")


def test_bookkeeping_bytes_are_no_gain() -> None:
    """The LSTM that quantize_dynamic left in float: 262,691 bytes became 262,265."""
    assert gain_gate(Gain(262_691, 262_265)).fails


def test_one_interval_end_within_the_noise_is_no_speed_up() -> None:
    assert gain(speedup=1.5, low=1.04, high=2.0).speed == "same speed"
    assert gain(speedup=1.5, low=1.06, high=2.0).speed == "faster"


def test_slower_needs_the_whole_interval_too() -> None:
    assert gain(speedup=0.9, low=0.8, high=0.97).speed == "same speed"
    assert gain(speedup=0.9, low=0.8, high=0.94).speed == "slower"


def test_asked_for_by_name_no_gain_informs() -> None:
    change = Gain(100, 100, asked_by_name=True)
    assert gain_gate(change).status == "informed"
    assert gain_gate(Gain(100, 100)).fails


def test_nothing_measured_is_not_run_and_not_green() -> None:
    assert gain_gate(None).status == gain_gate(Gain()).status == "not_run"


@pytest.mark.parametrize("size", [0, -5])
def test_a_size_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(BadMeasurement, match="size_bytes_after"):
        Gain(10, size)


@given(size=st.floats(0.05, 3), speedup=st.floats(0.05, 20))
def test_the_gate_holds_exactly_where_something_was_gained(size: float, speedup: float) -> None:
    change = gain(size, speedup)
    better = round(1e6 * size) / 1e6 <= 0.99 or change.speedup > 1.05  # type: ignore[operator]
    assert (gain_gate(change).status == "held") == better
    assert (change.text == "no gain") != better


def test_a_change_of_nothing_fails() -> None:
    assert coverage_gate(Coverage(1000, 0, 5000, 0)).fails
    assert coverage_gate(Coverage(1000, 0)).fails


def test_one_parameter_is_a_change() -> None:
    gate = coverage_gate(Coverage(1000, 1, 5000, 0))
    assert gate.status == "held"
    assert "0.1 % of the parameters" in gate.reason


def test_macs_alone_are_a_change_too() -> None:
    """Another kernel for the same weights."""
    assert coverage_gate(Coverage(1000, 0, 5000, 5000)).status == "held"


def test_no_pass_means_the_gate_did_not_run() -> None:
    assert coverage_gate(None).status == "not_run"


@pytest.mark.parametrize("changed", [-1, 11])
def test_more_than_all_is_refused(changed: int) -> None:
    with pytest.raises(BadCoverage, match=f"`{changed}`"):
        Coverage(10, changed)


def test_a_model_without_parameters_has_nothing_to_change() -> None:
    assert coverage_gate(Coverage(0, 0)).fails
