"""Features over processes are those of one process, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import (
    DEFAULT_FEATURES,
    FeatureUnknown,
    TooFewBars,
    feature_matrix,
    fit_preprocessing,
    prepare,
)
from aitrade_cli.market.parallel_features import feature_matrices, prepare_all
from tests.shell import ROOT

BARS = read_bars(ROOT / "fixtures" / "bars" / "eurusd_1h.parquet")
SEVERAL = (BARS.rows(0, 900), BARS.rows(500, 800), BARS.rows(3000, 4200))


@pytest.mark.parametrize("probe", [True, False])
def test_each_instrument_has_the_features_it_has_alone(probe: bool) -> None:
    run = feature_matrices(SEVERAL, DEFAULT_FEATURES, workers=2, probe=probe)
    assert run.report.way == ("here" if probe else "processes")
    for bars, matrix in zip(SEVERAL, run.matrices, strict=True):
        np.testing.assert_array_equal(matrix, feature_matrix(bars, DEFAULT_FEATURES))


def test_prepared_series_are_those_of_one_process() -> None:
    preprocessing = fit_preprocessing(BARS.rows(0, 2000), DEFAULT_FEATURES, 32)
    run = prepare_all(SEVERAL, preprocessing, workers=2)
    for bars, series in zip(SEVERAL, run.series, strict=True):
        alone = prepare(bars, preprocessing)
        np.testing.assert_array_equal(series.features, alone.features)
        np.testing.assert_array_equal(series.timestamp_ns, alone.timestamp_ns)
        assert series.features.flags.c_contiguous


def test_too_few_bars_and_unknown_names_are_told_before_the_work() -> None:
    preprocessing = fit_preprocessing(BARS.rows(0, 2000), DEFAULT_FEATURES, 32)
    with pytest.raises(TooFewBars):
        prepare_all((BARS, BARS.rows(0, 20)), preprocessing)
    with pytest.raises(FeatureUnknown):
        feature_matrices(SEVERAL, ("nothing",))


def test_no_instrument_has_no_features() -> None:
    assert feature_matrices((), DEFAULT_FEATURES).matrices == ()
