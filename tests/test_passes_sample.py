"""Bars to learn from, to choose on and to judge on never share a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import BarsUnreadable
from aitrade_cli.model.card import Sample
from aitrade_cli.model.series import Series
from aitrade_cli.passes.sample import NoPreprocessing, calibration_windows, gather
from tests.fidelity_market import card
from tests.passes_cases import BARS, WINDOW, bars_inside


def numbered(calibration: int, gap: int, evaluation: int) -> Sample:
    """A sample whose only feature is the number of its row."""
    rows = calibration + gap + evaluation
    ones = np.ones(rows)
    features = np.arange(rows, dtype=np.float32)[:, None]
    series = Series(np.arange(rows, dtype=np.int64), ones, ones, features)
    return Sample(series, calibration, calibration + gap, "TEST", "0" * 64)


def rows_of(windows: np.ndarray) -> set[int]:
    return set(windows.astype(int).ravel().tolist())


@given(length=st.integers(1, 80), windows=st.integers(1, 300), gap=st.integers(0, 9))
def test_the_three_stretches_share_no_row(length: int, windows: int, gap: int) -> None:
    sample = numbered(windows + length - 1, gap, length + 20)
    earlier, later = calibration_windows(sample, length)
    calibrated, chosen = rows_of(earlier), rows_of(later)
    judged = rows_of(sample.evaluation.windows(length))
    assert not calibrated & chosen
    assert not (calibrated | chosen) & judged
    assert len(later) >= 1
    assert not calibrated or max(calibrated) < min(chosen)
    assert max(chosen) < min(judged)


@given(length=st.integers(1, 80), windows=st.integers(1, 300))
def test_no_more_windows_are_lost_than_lie_between(length: int, windows: int) -> None:
    sample = numbered(windows + length - 1, 0, length)
    earlier, later = calibration_windows(sample, length)
    lost = windows - len(earlier) - len(later)
    assert lost == (length - 1 if len(earlier) else 0)


@given(length=st.integers(1, 400))
def test_as_many_windows_as_every_artefact_has_serve_both_ends(length: int) -> None:
    sample = numbered(512 + length - 1, 0, length)
    earlier, later = calibration_windows(sample, length)
    assert min(len(earlier), len(later)) >= (512 - length) // 4


def test_windows_are_views_of_the_sample() -> None:
    sample = numbered(200, 0, 50)
    for windows in calibration_windows(sample, 20):
        assert np.shares_memory(windows, sample.series.features)


def test_fewer_rows_than_one_window_are_refused() -> None:
    with pytest.raises(BadInput, match="5 rows are fewer than one window of 9"):
        calibration_windows(numbered(5, 0, 50), 9)


def test_without_data_the_sample_inside_is_taken() -> None:
    inside, sample = bars_inside()
    found = gather(inside, None, None)
    assert found.sample is sample
    assert (found.note, found.seen_in_training) == ("the sample inside the artefact", False)


def test_without_data_and_sample_there_is_none_and_a_reason() -> None:
    found = gather(card(), None, None)
    assert found.sample is None
    assert "no `--data`" in found.note


def test_data_is_prepared_as_the_card_says() -> None:
    inside, sample = bars_inside()
    found = gather(replace(inside, sample=None), str(BARS), None)
    assert found.sample is not None
    assert found.sample.source_sha256 == sample.source_sha256
    # The same file, features and window: the last rows are the same numbers.
    ours = sample.series.features[-WINDOW:]
    assert np.array_equal(found.sample.series.features[-WINDOW:], ours)


def test_bars_that_training_saw_are_owned_up_to() -> None:
    inside, sample = bars_inside()
    last = int(sample.series.timestamp_ns[-1])
    found = gather(replace(inside, trained_until_ns=last), str(BARS), None)
    assert found.seen_in_training
    assert "training may have seen" in found.note


def test_data_without_preprocessing_is_refused_with_the_way_out() -> None:
    with pytest.raises(NoPreprocessing, match="records no preprocessing") as caught:
        gather(replace(card(), preprocessing=None), str(BARS), None)
    assert caught.value.exit_code == 4
    assert "--wrap" in caught.value.hint


def test_bars_that_are_not_there_are_named() -> None:
    with pytest.raises(BarsUnreadable, match=r"no-such\.parquet"):
        gather(card(), "no-such.parquet", None)
