from __future__ import annotations

import importlib
import inspect
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.market.features import prepare
from aitrade_cli.model.architectures import ARCHITECTURES, FIXED_TIME
from aitrade_cli.model.artefact import Artefact, TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.training.loop import logits_of

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
NAMES = tuple(ARCHITECTURES)
HELD_OUT = 2000  # bars, at the least


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads than free cores wait for each other, and sums come in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return read_bars(FIXTURES / "bars" / "eurusd_1h.parquet")


@pytest.fixture(scope="module")
def artefacts() -> dict[str, Artefact]:
    paths = {name: FIXTURES / "models" / f"{name}.pt" for name in NAMES}
    return {name: load(path.read_bytes(), name=path.name) for name, path in paths.items()}


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FIXTURES / "scripts")
        yield importlib.import_module("train_models")
        sys.modules.pop("train_models")


@pytest.mark.parametrize("name", NAMES)
def test_torch_opens_each_file_without_running_code(name: str) -> None:
    data = (FIXTURES / "models" / f"{name}.pt").read_bytes()
    assert "state_dict" in torch.load(io.BytesIO(data), weights_only=True)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []


@pytest.mark.parametrize("name", NAMES)
def test_each_trades_both_sides_of_bars_it_never_saw(
    name: str, artefacts: dict[str, Artefact], bars: Bars
) -> None:
    card = artefacts[name].card
    assert card.preprocessing is not None
    assert card.decision is not None
    assert card.trained_until_ns is not None
    series = prepare(bars, card.preprocessing)
    unseen = int(np.searchsorted(series.timestamp_ns, card.trained_until_ns, side="right"))
    windows = series.rows(unseen, len(series)).windows(card.preprocessing.window)[-2060:]
    assert len(windows) >= HELD_OUT
    position = card.decision.positions_of(logits_of(build(artefacts[name]), windows))
    assert (position > 0).mean() >= 0.10
    assert (position < 0).mean() >= 0.10
    told = card.history[0].measurements["held_out"]
    judged = position[-2048 - 12 : -12]  # the last 12 have no label to be judged by
    assert told["windows"] == 2048
    assert (judged > 0).mean() == pytest.approx(told["long_share"], abs=2e-3)
    assert (judged < 0).mean() == pytest.approx(told["short_share"], abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_each_carries_its_sample_and_where_it_is_from(
    name: str, artefacts: dict[str, Artefact], bars: Bars
) -> None:
    card = artefacts[name].card
    sample, window = card.sample, card.window
    assert sample is not None
    assert window == 64
    assert card.preprocessing is not None
    assert card.trained_until_ns is not None
    assert len(sample.calibration.windows(window)) >= 256
    assert len(sample.evaluation.windows(window)) >= 1024
    assert sample.evaluation_row - sample.calibration_rows >= window
    assert sample.evaluation.timestamp_ns[0] > card.trained_until_ns
    assert sample.source_sha256 == bars.source_sha256
    again = prepare(bars, card.preprocessing)
    first = int(np.searchsorted(again.timestamp_ns, sample.series.timestamp_ns[0]))
    same = again.rows(first, first + len(sample.series))
    np.testing.assert_array_equal(same.timestamp_ns, sample.series.timestamp_ns)
    np.testing.assert_allclose(same.features, sample.series.features, atol=1e-5)
    np.testing.assert_array_equal(same.close_price, sample.series.close_price)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_how_it_was_made(name: str, artefacts: dict[str, Artefact], bars: Bars) -> None:
    card = artefacts[name].card
    (step,) = card.history
    assert step.command == "train"
    assert step.settings["bars"] == "fixtures/bars/eurusd_1h.parquet"
    assert step.settings["bars_sha256"] == bars.source_sha256
    assert {"seed", "plan", "recipe", "threads"} <= step.settings.keys()
    assert {"torch", "numpy", "aitrade"} <= step.versions.keys()
    assert card.arch is not None
    assert card.arch.name == name
    assert card.inputs[0].shape == ("batch", 64 if name in FIXED_TIME else "time", 20)
    wanted = inspect.signature(ARCHITECTURES[name]).parameters.keys() - {"inner_channels"}
    assert wanted == card.arch.config.keys()


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_finite_and_a_desk_s_size(name: str, artefacts: dict[str, Artefact]) -> None:
    network = artefacts[name].network
    assert isinstance(network, TorchWeights)
    assert all(tensor.isfinite().all() for tensor in network.state_dict.values())
    assert 100_000 <= sum(tensor.numel() for tensor in network.state_dict.values()) <= 3_300_000


def test_the_figures_in_the_readme_are_those_in_the_files(script: ModuleType) -> None:
    text = (FIXTURES / "README.md").read_text()
    rebuild = "python fixtures/scripts/train_models.py --figures"
    assert script.with_figures(text) == text, f"run `{rebuild}`"
    for name in NAMES:
        assert text.count(f"| `{name}.pt` |") == 2


def test_no_edge_is_said_where_the_interval_holds_zero() -> None:
    for line in (FIXTURES / "README.md").read_text().splitlines():
        if not line.startswith("| `") or "(" not in line:
            continue
        interval, verdict = line.split("|")[6], line.split("|")[9].strip()
        low, high = (float(end) for end in interval.split("(")[1].rstrip(") ").split(" to "))
        assert verdict == ("no edge" if low <= 0 <= high else "loses" if high < 0 else "above zero")
