"""Nothing that is learned from is judged on, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.market.split import Fold, SampleChoice, SeriesTooShort, sample_of, walk_forward
from aitrade_cli.model.series import Series

HOUR_NS = 3_600 * 10**9


def series_of(rows: int) -> Series:
    price = np.linspace(1.0, 2.0, rows)
    features = np.arange(rows, dtype=np.float32)[:, None]
    return Series(np.arange(1, rows + 1) * HOUR_NS, price, price, features)


def touched(start: int, stop: int, window: int, horizon: int) -> set[int]:
    """Every row that a decision in [start, stop) looks at, its label included."""
    return {row for t in range(start, stop) for row in range(t - window + 1, t + horizon + 1)}


@given(
    rows=st.integers(60, 400),
    folds=st.integers(1, 6),
    window=st.integers(1, 24),
    horizon=st.integers(0, 12),
    embargo=st.integers(0, 12),
    min_train=st.integers(1, 60),
)
def test_training_and_test_share_no_row_and_keep_the_embargo(
    rows: int, folds: int, window: int, horizon: int, embargo: int, min_train: int
) -> None:
    try:
        parts = walk_forward(rows, folds, window, horizon, embargo, min_train)
    except SeriesTooShort:
        assert rows < min_train + folds + 2 * (window - 1 + horizon) + embargo
        return
    for part in parts:
        train = touched(part.train_start, part.train_stop, window, horizon)
        test = touched(part.test_start, part.test_stop, window, horizon)
        assert min(train) == 0
        assert max(test) < rows
        assert min(test) - max(train) == embargo + 1
        assert part.train_stop - part.train_start >= min_train
    judged = [row for part in parts for row in range(part.test_start, part.test_stop)]
    assert judged == list(range(parts[0].test_start, rows - horizon))
    lengths = [part.test_stop - part.test_start for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_a_split_without_purge_would_be_caught() -> None:
    naive = Fold(9, 100, 100, 150)
    train = touched(naive.train_start, naive.train_stop, 10, 5)
    assert train & touched(naive.test_start, naive.test_stop, 10, 5)


def test_a_split_by_hand() -> None:
    # Window 3, label 2 ahead, embargo 1: gap 2 + 2 + 1. Last row with a label: 27.
    assert walk_forward(30, 2, 3, 2, 1, 11) == (Fold(2, 13, 18, 23), Fold(2, 18, 23, 28))


def test_one_row_less_than_the_message_asks_for_is_too_few() -> None:
    with pytest.raises(SeriesTooShort, match="need 25"):
        walk_forward(24, 5, 3, 2, 1, 11)
    assert len(walk_forward(25, 5, 3, 2, 1, 11)) == 5


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(Usage):
        walk_forward(100, 0, 3, 2, 1, 10)
    with pytest.raises(Usage):
        walk_forward(100, 2, 3, -1, 1, 10)


def choose(
    rows: int, trained: int | None, window: int, calibration: int, evaluation: int
) -> SampleChoice:
    until = None if trained is None else trained * HOUR_NS
    return sample_of(series_of(rows), window, until, "X", "0" * 64, calibration, evaluation)


@given(
    rows=st.integers(100, 5000),
    trained=st.none() | st.integers(0, 5000),
    window=st.integers(1, 64),
    calibration=st.integers(1, 600),
    evaluation=st.integers(1, 2400),
)
def test_calibration_gap_and_evaluation_share_nothing(
    rows: int, trained: int | None, window: int, calibration: int, evaluation: int
) -> None:
    least = min(calibration, 256) + min(evaluation, 1024) + 3 * window - 2
    if rows < least:
        with pytest.raises(SeriesTooShort, match=f"need {least:,}"):
            choose(rows, trained, window, calibration, evaluation)
        return
    choice = choose(rows, trained, window, calibration, evaluation)
    sample = choice.sample
    learned, judged = sample.calibration, sample.evaluation
    assert sample.evaluation_row - sample.calibration_rows >= window
    assert learned.timestamp_ns[-1] < judged.timestamp_ns[0]
    assert min(calibration, 256) <= len(learned.windows(window)) <= calibration
    assert min(evaluation, 1024) <= len(judged.windows(window)) <= evaluation
    assert (np.diff(sample.series.timestamp_ns) == HOUR_NS).all()  # contiguous
    assert sample.series.timestamp_ns[-1] == rows * HOUR_NS
    if trained is not None:
        assert choice.seen_in_training == (judged.timestamp_ns[0] <= trained * HOUR_NS)


@given(rows=st.integers(1500, 5000), trained=st.integers(1, 5000), window=st.integers(1, 64))
def test_unseen_bars_are_preferred_wherever_enough_are_left(
    rows: int, trained: int, window: int
) -> None:
    assume(rows - trained >= 1024 + 2 * window - 1)
    assume(rows >= 256 + 1024 + 3 * window - 2)
    choice = choose(rows, trained, window, 512, 2048)
    assert not choice.seen_in_training
    assert choice.sample.evaluation.timestamp_ns[0] > (trained + window) * HOUR_NS
    assert "all after" in choice.note


def test_the_wish_is_met_exactly_where_there_is_room() -> None:
    sample = choose(6000, 1000, 64, 512, 2048).sample
    assert len(sample.calibration.windows(64)) == 512
    assert len(sample.evaluation.windows(64)) == 2048


def test_bars_that_training_saw_are_admitted() -> None:
    choice = choose(3000, 3000, 32, 512, 2048)
    assert choice.seen_in_training
    assert choice.note == "2,048 of 2,048 evaluation windows hold bars that training may have seen"


def test_unknown_training_is_said() -> None:
    choice = choose(3000, None, 32, 512, 2048)
    assert not choice.seen_in_training
    assert "not known" in choice.note
