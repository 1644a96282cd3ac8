"""Which rows may be learned from and which are judged on, with nothing shared between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.card import Sample
from aitrade_cli.model.series import Series

LEAST_CALIBRATION = 256  # windows; fewer make a poor histogram of activations
LEAST_EVALUATION = 1024  # windows; fewer cannot tell 99 % agreement from 98 %
LEAST = (LEAST_CALIBRATION, LEAST_EVALUATION)


class SeriesTooShort(BadInput):
    """There are too few rows for the split that was asked for."""

    default_hint = "give more bars, fewer folds or a shorter window"


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows at which decisions are made: ``[train_start, train_stop)`` and then the test's.

    A decision at row t looks back to row ``t - window + 1`` and its label looks ahead to row
    ``t + horizon``; both stay inside the series, and no row that training touches is touched
    by the test.
    """

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


def walk_forward(
    rows: int, folds: int, window: int, horizon: int, embargo: int, min_train: int
) -> tuple[Fold, ...]:
    """Cut a series into growing training parts, each followed by the test part after it.

    The test parts follow each other without a break up to the last row that has a label. Between
    training and test lie the purge (``horizon`` rows that labels reach into, ``window - 1`` rows
    that test windows reach back to) and then ``embargo`` rows more.

    Args:
        rows: length of the series.
        folds: test parts, >= 1.
        window: rows one decision looks back on, its own included, >= 1.
        horizon: rows its label looks ahead, >= 0.
        embargo: rows kept free besides, >= 0.
        min_train: decisions in the first training part, at the least, >= 1.

    Returns:
        ``folds`` folds in time order; their test parts differ by one row at most.

    Raises:
        Usage: an argument is below its range.
        SeriesTooShort: not one test row a fold is left.

    Source:
        López de Prado 2018, Advances in Financial Machine Learning, section 7.4.
    """
    if min(folds, window, min_train) < 1 or min(horizon, embargo) < 0:
        raise Usage(
            f"a split of {folds} folds, window {window}, horizon {horizon}, embargo {embargo},"
            f" least training {min_train} cannot be made"
        )
    gap = horizon + window - 1 + embargo
    first, last = window - 1, rows - horizon
    start = first + min_train + gap
    if last - start < folds:
        raise SeriesTooShort(
            f"{rows:,} rows are too few: {folds} folds with {min_train:,} training rows, a window"
            f" of {window} and a gap of {gap} need {start + folds + horizon:,}"
        )
    edges = [start + (last - start) * fold // folds for fold in range(folds + 1)]
    return tuple(
        Fold(first, test_start - gap, test_start, test_stop)
        for test_start, test_stop in pairwise(edges)
    )


@dataclass(frozen=True, slots=True)
class SampleChoice:
    """A sample, and whether the model may have learned from the bars that judge it."""

    sample: Sample
    seen_in_training: bool
    note: str  # one line for the report


def sample_of(
    series: Series,
    window: int,
    trained_until_ns: int | None,
    symbol: str,
    source_sha256: str,
    calibration_windows: int = 512,
    evaluation_windows: int = 2048,
) -> SampleChoice:
    """Take the latest contiguous stretch: calibration, a gap of one window, evaluation.

    Evaluation lies wholly after training, a gap of one window between them, where at least
    1,024 windows fit there; it is then shortened to what fits. Where they do not fit it reaches
    into bars that training saw, and the choice says so.

    Args:
        series: prepared bars, warm-up already dropped.
        window: rows of one window, >= 1.
        trained_until_ns: last bar training saw; None where that is not known.
        symbol: the instrument.
        source_sha256: of the file that the bars came from.
        calibration_windows: wanted; shortened to no fewer than 256.
        evaluation_windows: wanted; shortened to no fewer than 1,024.

    Returns:
        ``sample`` holds exactly the rows of calibration, gap and evaluation.

    Raises:
        SeriesTooShort: the least calibration, gap and evaluation do not fit; with numbers.
    """
    wanted = (calibration_windows, evaluation_windows)
    unseen_from = 0
    if trained_until_ns is not None:
        unseen_from = int(np.searchsorted(series.timestamp_ns, trained_until_ns, side="right"))
    after_gap = unseen_from + window if unseen_from else 0
    sizes = _fitting(len(series), window, after_gap, *wanted)
    if sizes is None:
        sizes = _fitting(len(series), window, 0, *wanted)
    if sizes is None:
        least = [min(pair) for pair in zip(wanted, LEAST, strict=True)]
        needed = sum(least) + 3 * window - 2
        raise SeriesTooShort(
            f"{len(series):,} rows are too few: {least[0]:,} calibration windows, a gap and"
            f" {least[1]:,} evaluation windows of {window} rows need {needed:,}"
        )
    sample = _cut(series, window, *sizes, symbol, source_sha256)
    return _choice(sample, sizes[1], trained_until_ns)


def _choice(sample: Sample, windows: int, trained_until_ns: int | None) -> SampleChoice:
    if trained_until_ns is None:
        note = f"{windows:,} evaluation windows; what training saw is not known"
        return SampleChoice(sample, seen_in_training=False, note=note)
    starts = sample.evaluation.timestamp_ns[:windows]
    seen = int((starts <= trained_until_ns).sum())
    if not seen:
        note = f"{windows:,} evaluation windows, all after the last bar of training"
        return SampleChoice(sample, seen_in_training=False, note=note)
    note = f"{seen:,} of {windows:,} evaluation windows hold bars that training may have seen"
    return SampleChoice(sample, seen_in_training=True, note=note)


def _fitting(
    rows: int, window: int, first: int, calibration: int, evaluation: int
) -> tuple[int, int] | None:
    """Windows of calibration and evaluation, the latter no earlier than row ``first``."""
    spare = rows - 3 * window + 2 - evaluation
    calibration = max(min(calibration, LEAST_CALIBRATION), min(calibration, spare))
    start = max(first, calibration + 2 * window - 1)
    fits = min(evaluation, rows - start - window + 1)
    return (calibration, fits) if fits >= min(evaluation, LEAST_EVALUATION) else None


def _cut(
    series: Series, window: int, calibration: int, evaluation: int, symbol: str, source: str
) -> Sample:
    calibration_rows = calibration + window - 1
    evaluation_row = calibration_rows + window
    length = evaluation_row + evaluation + window - 1
    stretch = series.rows(len(series) - length, len(series))
    return Sample(stretch, calibration_rows, evaluation_row, symbol, source)
