"""Bars to train an existing model on: the same ones, and none of those that judge it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import read_bars
from aitrade_cli.model.card import Card
from aitrade_cli.model.loading import load
from aitrade_cli.passes.sample import gather
from aitrade_cli.training.history import NoTrainingBars, plan_of
from aitrade_cli.training.material import NotTrainable, material_of
from aitrade_cli.training.walk import Plan, examples_of, folds_of
from tests.passes_cases import BARS, torch_model
from tests.shell import ROOT


def card(name: str = "lstm") -> Card:
    path = ROOT / "fixtures" / "models" / f"{name}.pt"
    return load(path.read_bytes(), name=path.name).card


def test_the_history_gives_back_what_the_model_was_trained_on() -> None:
    found = material_of(card(), None)
    bars = read_bars(BARS)
    first = examples_of(bars, Plan(), folds_of(bars, Plan())[-1])
    for ours, theirs in (
        (found.training, first.training),
        (found.validation, first.validation),
    ):
        np.testing.assert_array_equal(ours.windows, theirs.windows)
        np.testing.assert_array_equal(ours.classes, theirs.classes)
    assert found.band == first.band
    assert found.trained_until_ns == first.trained_until_ns == card().trained_until_ns


@pytest.mark.parametrize("data", [None, str(BARS)])
@pytest.mark.parametrize("known", [True, False])
def test_no_label_reaches_a_bar_that_judges(data: str | None, known: bool) -> None:
    given = card() if known else replace(card(), trained_until_ns=None)
    found = material_of(given, data)
    sample = gather(given, data, None).sample
    assert sample is not None
    assert found.trained_until_ns < sample.series.timestamp_ns[0]
    horizon, window = plan_of(given, found.preprocessing).labelling.horizon, 64
    # What validation touches begins after what a training label reaches.
    everything = read_bars(BARS).timestamp_ns
    last = int(np.searchsorted(everything, found.trained_until_ns))
    first_validation = last - horizon - (len(found.validation) - 1) - (window - 1)
    first_training = 200 + window - 1
    last_training = first_training + len(found.training) - 1
    assert last_training + horizon < first_validation


def test_before_ns_cuts_earlier() -> None:
    usual = material_of(card(), None)
    cut = material_of(card(), None, before_ns=usual.trained_until_ns - 500 * 3600 * 10**9)
    assert len(cut.training) < len(usual.training)
    assert cut.trained_until_ns < usual.trained_until_ns - 500 * 3600 * 10**9


def test_windows_are_views_and_thinning_copies_nothing() -> None:
    found = material_of(card(), None)
    few = found.thinned(100)
    assert len(few.training) <= 100
    assert np.shares_memory(few.training.windows, found.training.windows)
    assert found.training.windows.strides[0] == found.training.windows.strides[1]
    assert found.thinned(None) is found


def test_held_out_rows_are_those_of_the_evidence() -> None:
    found = material_of(card(), None)
    sample = card().sample
    assert sample is not None
    windows = sample.evaluation.windows(64)
    np.testing.assert_allclose(found.held_out.windows, windows[: len(found.held_out)], atol=1e-5)


def test_without_bars_there_is_a_failure_with_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoTrainingBars, match="names no bars"):
        material_of(torch_model().card, None)
    monkeypatch.chdir(tmp_path)
    step = card().history[0]
    lost = replace(step, settings={**step.settings, "bars": "fixtures/bars/lost.parquet"})
    with pytest.raises(NoTrainingBars, match="is not here"):
        material_of(replace(card(), history=(lost,)), None)
    changed = replace(step, settings={**step.settings, "bars_sha256": "0" * 64})
    with pytest.raises(NoTrainingBars, match="is not the file") as caught:
        material_of(replace(card(), history=(changed,)), None)
    assert caught.value.exit_code == 4


def test_the_fixtures_folder_may_be_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "bars").mkdir(parents=True)
    shutil.copy(BARS, tmp_path / "elsewhere" / "bars" / BARS.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AITRADE_FIXTURES", str(tmp_path / "elsewhere"))
    assert len(material_of(card(), None).training) > 3000


def test_a_card_without_preprocessing_or_with_a_mad_plan_is_refused() -> None:
    with pytest.raises(NotTrainable):
        material_of(replace(card(), preprocessing=None), str(BARS))
    step = card().history[0]
    for plan in ({"flat_share": 2.0}, {"labelling": {"horizon": "x"}}, {"labelling": [1]}):
        mad = replace(step, settings={**step.settings, "plan": plan})
        with pytest.raises(BadInput):
            material_of(replace(card(), history=(mad,)), str(BARS))
