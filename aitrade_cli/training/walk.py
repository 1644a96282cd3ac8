"""From bars to the examples of one fold: what is learned from, what stops it, what judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import Bars
from aitrade_cli.market.features import (
    DEFAULT_FEATURES,
    fit_preprocessing,
    prepare,
    warmup_rows,
)
from aitrade_cli.market.split import Fold, SeriesTooShort, walk_forward
from aitrade_cli.model.card import Preprocessing
from aitrade_cli.model.series import Series
from aitrade_cli.training.labels import (
    UNKNOWN,
    Band,
    Labelling,
    classes_of,
    fit_band,
    forward_trend,
    known_trend,
)
from aitrade_cli.training.loop import Examples


@dataclass(frozen=True, slots=True)
class Plan:
    """How bars are cut up and labelled."""

    features: tuple[str, ...] = DEFAULT_FEATURES
    window: int = 64
    labelling: Labelling = field(default_factory=Labelling)
    flat_share: float = 1 / 3  # of training rows
    folds: int = 2
    test_rows: int = 2048  # decisions in each fold's test part
    embargo: int = 64  # rows left out before each test part besides the purge
    validation_share: float = 0.12  # of the training part, its latest decisions
    clip: float = 5.0  # standard deviations


@dataclass(frozen=True, slots=True)
class FoldExamples:
    """Everything one training run needs, and the rows that judge it.

    Attributes:
        fold: decision rows of training and test, counted in ``series``.
        series: all bars, normalized with what the training rows alone say.
        preprocessing: that normalization.
        band: what counts as flat, from the training rows alone.
        training: learned from.
        validation: the latest decisions of the training part, purged from ``training``.
        test: never looked at while training.
        known: for each test row, the class that follows from what is known of its label already.
        trained_until_ns: last bar that a training or validation label reaches.
        validation_start: first decision row of ``validation``, counted in ``series``.
        validation_labels: class of each of its rows, `UNKNOWN` where there is none.
    """

    fold: Fold
    series: Series
    preprocessing: Preprocessing
    band: Band
    training: Examples
    validation: Examples
    test: Examples
    known: Int64[np.ndarray, " n"]
    trained_until_ns: int
    validation_start: int
    validation_labels: Int64[np.ndarray, " later"]

    @property
    def validation_rows(self) -> range:
        """Decision rows between training and the gap before the test, labelled or not."""
        return range(self.validation_start, self.fold.train_stop)

    @property
    def test_rows(self) -> range:
        """Decision rows that judge, labelled or not."""
        return range(self.fold.test_start, self.fold.test_stop)

    def windows_at(self, rows: range) -> Float32[np.ndarray, "n time feature"]:
        """Windows that end at these rows, without a copy."""
        window = self.preprocessing.window
        return self.series.windows(window)[rows.start - window + 1 : rows.stop - window + 1]

    @property
    def test_series(self) -> Series:
        """The bars at which the test decisions are made."""
        return self.series.rows(self.fold.test_start, self.fold.test_stop)


def folds_of(bars: Bars, plan: Plan) -> tuple[Fold, ...]:
    """Cut ``bars`` into growing training parts with ``plan.test_rows`` decisions to judge each by.

    Rows count from the first one after the features' warm-up. The first training part takes what
    is left over.

    Raises:
        SeriesTooShort: there are too few bars for the plan.
    """
    rows = len(bars) - warmup_rows(plan.features)
    horizon = plan.labelling.horizon
    gap = horizon + plan.window - 1 + plan.embargo
    needed = plan.window - 1 + gap + plan.folds * plan.test_rows + horizon
    if rows <= needed:
        raise SeriesTooShort(
            f"{len(bars):,} bars are too few: {plan.folds} folds of {plan.test_rows:,} test rows"
            f" need more than {len(bars) - rows + needed:,}"
        )
    return walk_forward(
        rows, plan.folds, plan.window, horizon, plan.embargo, min_train=rows - needed
    )


def examples_of(bars: Bars, plan: Plan, fold: Fold) -> FoldExamples:
    """Normalize, label and window one fold. Only training rows set scale and band.

    Raises:
        BadInput: the training part is too short to leave a validation slice.
    """
    horizon = plan.labelling.horizon
    validation_rows = round(plan.validation_share * (fold.train_stop - fold.train_start))
    validation_start = fold.train_stop - validation_rows
    train_stop = validation_start - (horizon + plan.window - 1)
    if validation_rows < 1 or train_stop <= fold.train_start:
        raise BadInput(
            f"{fold.train_stop - fold.train_start:,} training rows are too few to set"
            f" {plan.validation_share:.0%} of them aside for validation"
        )
    warmup = warmup_rows(plan.features)
    preprocessing = fit_preprocessing(
        bars.rows(0, warmup + train_stop), plan.features, plan.window, plan.clip
    )
    series = prepare(bars, preprocessing)
    learned = range(fold.train_start, train_stop)
    trend = forward_trend(bars.close, plan.labelling)[warmup:]
    band = fit_band(trend[learned.start : learned.stop], flat_share=plan.flat_share)
    classes = classes_of(trend, band)
    known = known_trend(bars.close, plan.labelling)[warmup:]
    rule = fit_band(known[learned.start : learned.stop], flat_share=plan.flat_share)
    tested = np.arange(fold.test_start, fold.test_stop)
    tested = tested[classes[tested] != UNKNOWN]
    return FoldExamples(
        fold=fold,
        series=series,
        preprocessing=preprocessing,
        band=band,
        training=_examples(series, classes, learned, plan.window),
        validation=_examples(
            series, classes, range(validation_start, fold.train_stop), plan.window
        ),
        test=_examples(series, classes, range(fold.test_start, fold.test_stop), plan.window),
        known=classes_of(known, rule)[tested],
        trained_until_ns=int(series.timestamp_ns[fold.train_stop - 1 + horizon]),
        validation_start=validation_start,
        validation_labels=classes[validation_start : fold.train_stop],
    )


def _examples(
    series: Series, classes: Int64[np.ndarray, " rows"], rows: Sequence[int], window: int
) -> Examples:
    picked = np.asarray(rows)
    picked = picked[classes[picked] != UNKNOWN]
    return Examples(series.windows(window)[picked - (window - 1)], classes[picked])
