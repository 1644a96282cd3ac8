from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import Bars
from aitrade_cli.market.features import FEATURES, Feature
from aitrade_cli.market.split import Fold, SeriesTooShort
from aitrade_cli.training.labels import UNKNOWN, Labelling, classes_of, forward_trend
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of

WARMUP = 48
PLAN = Plan(
    features=("log_return_1", "realized_volatility_48", "hour_sin"),
    window=8,
    labelling=Labelling(horizon=5, lookback=6, volatility_bars=20),
    folds=2,
    test_rows=100,
    embargo=7,
    validation_share=0.2,
    flat_share=0.4,
)


def random_bars(rows: int = 700, seed: int = 0) -> Bars:
    random = np.random.default_rng(seed)
    close = np.exp(random.normal(0, 0.01, rows).cumsum())
    opened = np.r_[1.0, close[:-1]]
    return Bars(
        timestamp_ns=np.arange(rows, dtype=np.int64) * 3_600 * 10**9,
        open=opened,
        high=np.maximum(opened, close) * 1.001,
        low=np.minimum(opened, close) * 0.999,
        close=close,
        volume=random.uniform(1, 2, rows),
        symbol="noise",
        source_sha256="0" * 64,
    )


def changed_from(bars: Bars, row: int) -> Bars:
    """The same bars up to ``row``, and another market from there on."""
    factor = np.ones(len(bars))
    factor[row:] = 1.1 + 0.4 * np.sin(np.arange(len(bars) - row))
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


def learned(parts: FoldExamples) -> list[bytes]:
    arrays = [parts.training.windows, parts.validation.windows]
    arrays += [parts.training.classes, parts.validation.classes]
    fitted = [*parts.preprocessing.mean, *parts.preprocessing.std, parts.band.low, parts.band.high]
    return [np.ascontiguousarray(array).tobytes() for array in [*arrays, np.array(fitted)]]


@pytest.fixture(scope="module")
def bars() -> Bars:
    return random_bars()


def test_each_fold_is_judged_on_as_many_bars_as_planned(bars: Bars) -> None:
    folds = folds_of(bars, PLAN)
    assert [fold.test_stop - fold.test_start for fold in folds] == [100, 100]
    assert folds[-1].test_stop == len(bars) - WARMUP - PLAN.labelling.horizon
    assert folds[0].train_stop < folds[1].train_stop


@pytest.mark.parametrize("number", [0, 1])
def test_training_validation_and_test_share_no_bar(bars: Bars, number: int) -> None:
    fold = folds_of(bars, PLAN)[number]
    parts = examples_of(bars, PLAN, fold)
    horizon, window = PLAN.labelling.horizon, PLAN.window
    validation_start = fold.train_stop - len(parts.validation)
    train_stop = fold.train_start + len(parts.training)
    assert train_stop - 1 + horizon < validation_start - window + 1
    assert fold.train_stop - 1 + horizon + PLAN.embargo < fold.test_start - window + 1
    assert parts.trained_until_ns == parts.series.timestamp_ns[fold.train_stop - 1 + horizon]
    assert parts.trained_until_ns < parts.test_series.timestamp_ns[0]


def test_another_future_changes_nothing_that_is_learned(bars: Bars) -> None:
    fold = folds_of(bars, PLAN)[0]
    reached = WARMUP + fold.train_stop - 1 + PLAN.labelling.horizon
    other = examples_of(changed_from(bars, reached + 1), PLAN, fold)
    assert learned(examples_of(bars, PLAN, fold)) == learned(other)


def test_a_fold_without_a_purge_would_be_noticed(bars: Bars) -> None:
    fold = folds_of(bars, PLAN)[0]
    greedy = replace(fold, train_stop=fold.train_stop + 1)
    reached = WARMUP + fold.train_stop - 1 + PLAN.labelling.horizon
    other = examples_of(changed_from(bars, reached + 1), PLAN, greedy)
    assert learned(examples_of(bars, PLAN, greedy)) != learned(other)


@pytest.mark.parametrize("leak", [False, True])
def test_windows_end_at_their_decision_and_a_leak_is_noticed(
    bars: Bars, leak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = Feature(lambda given: np.r_[np.diff(np.log(given.close)), 0.0], 0)
    monkeypatch.setitem(FEATURES, "tomorrow", tomorrow)  # type: ignore[arg-type]
    plan = replace(PLAN, features=(*PLAN.features, "tomorrow") if leak else PLAN.features)
    fold = folds_of(bars, plan)[0]
    cut = changed_from(bars, WARMUP + fold.train_stop)
    before, after = examples_of(bars, plan, fold), examples_of(cut, plan, fold)
    same = np.array_equal(before.validation.windows[-1], after.validation.windows[-1])
    assert same is not leak


def test_examples_are_the_rows_they_say(bars: Bars) -> None:
    fold = folds_of(bars, PLAN)[1]
    parts = examples_of(bars, PLAN, fold)
    classes = classes_of(forward_trend(bars.close, PLAN.labelling)[WARMUP:], parts.band)
    assert (classes[fold.test_start : fold.test_stop] == parts.test.classes).all()
    for number in (0, 57, 99):
        row = fold.test_start + number
        expected = parts.series.features[row - PLAN.window + 1 : row + 1]
        assert np.array_equal(parts.test.windows[number], expected)
    assert parts.test_series.close_price[3] == bars.close[WARMUP + fold.test_start + 3]


def test_training_rows_alone_set_scale_and_band(bars: Bars) -> None:
    fold = folds_of(bars, PLAN)[1]
    parts = examples_of(bars, PLAN, fold)
    rows = slice(fold.train_start, fold.train_start + len(parts.training))
    raw = np.log(bars.close[WARMUP:] / bars.close[WARMUP - 1 : -1])[: rows.stop]
    assert parts.preprocessing.mean[0] == pytest.approx(raw.mean(), rel=1e-9)
    assert parts.preprocessing.std[0] == pytest.approx(raw.std(), rel=1e-9)
    shares = np.bincount(parts.training.classes) / len(parts.training)
    np.testing.assert_allclose(shares, [0.3, 0.4, 0.3], atol=0.01)


def test_bars_without_a_label_are_left_out() -> None:
    flat = random_bars()
    close = flat.close.copy()
    close[200:260] = close[200]
    still = replace(flat, close=close, high=flat.high * 2, low=flat.low / 2)
    fold = folds_of(still, PLAN)[1]
    parts = examples_of(still, PLAN, fold)
    full = examples_of(flat, PLAN, fold)
    assert len(parts.training) < len(full.training)
    assert UNKNOWN not in parts.training.classes


def test_too_few_bars_are_named() -> None:
    with pytest.raises(SeriesTooShort):
        folds_of(random_bars(279), PLAN)
    with pytest.raises(BadInput, match="too few to set 20% of them aside"):
        examples_of(random_bars(300), PLAN, Fold(7, 20, 60, 100))
