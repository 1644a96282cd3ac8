"""A small model with real bars inside, planted latencies, and the program run in this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch import nn

from aitrade_cli.files import sha256
from aitrade_cli.inference.latency import measure
from aitrade_cli.inference.rounds import Station
from aitrade_cli.inference.variants import Variant
from aitrade_cli.main import run
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import fit_preprocessing, prepare
from aitrade_cli.market.split import sample_of
from aitrade_cli.model.architectures import create
from aitrade_cli.model.artefact import Artefact, TorchWeights, dump
from aitrade_cli.model.card import Arch, Card, Decision, Sample, TensorSpec
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.loading import load
from tests.inference_simulation import simulate
from tests.shell import ROOT

BARS: Final = ROOT / "fixtures" / "bars" / "eurusd_1h.parquet"
FEATURES: Final = ("log_return_1", "log_return_4", "high_low_range", "close_location")
WINDOW: Final = 8


@cache
def bars_inside() -> tuple[Card, Sample]:
    """A card for windows of real bars, and a sample of them."""
    bars = read_bars(BARS)
    preprocessing = fit_preprocessing(bars, FEATURES, WINDOW)
    series = prepare(bars, preprocessing)
    sample = sample_of(series, WINDOW, None, "EURUSD", bars.source_sha256, 96, 256).sample
    config: dict[str, Any] = {"features": len(FEATURES), "window": WINDOW, "hidden_sizes": [32, 24]}
    card = Card(
        inputs=(TensorSpec("window", ("batch", WINDOW, len(FEATURES))),),
        outputs=(TensorSpec("logits", ("batch", 3)),),
        arch=Arch("mlp", config),
        preprocessing=preprocessing,
        decision=Decision(),
        sample=sample,
    )
    return card, sample


@cache
def weights() -> bytes:
    """A `.pt` artefact whose decisions are spread over short, flat and long."""
    card, sample = bars_inside()
    assert card.arch is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = create(card.arch).eval()
    last = [part for part in network.modules() if isinstance(part, nn.Linear)][-1]
    windows = torch.from_numpy(np.ascontiguousarray(sample.calibration.windows(WINDOW)))
    with torch.no_grad():
        logits = network(windows)
        last.weight /= logits.std(dim=0)[:, None]
        last.bias.copy_((last.bias - logits.mean(dim=0)) / logits.std(dim=0))
    return dump(Artefact(card, TorchWeights(dict(network.state_dict()))))


def torch_model() -> Artefact:
    return load(weights(), name="tiny.pt")


@cache
def graph() -> bytes:
    """The same model as an ONNX artefact."""
    made, _ = export_onnx(torch_model(), exporter="legacy")
    return dump(made)


def onnx_model() -> Artefact:
    return load(graph(), name="tiny.onnx")


class Planted(dict[str, float]):
    """Microseconds a call by variant; what is not named takes ``other``."""

    def __init__(self, call_us: Mapping[str, float], other: float) -> None:
        super().__init__(call_us)
        self.other = other

    def __missing__(self, name: str) -> float:
        return self.other


def plant(
    monkeypatch: pytest.MonkeyPatch,
    call_us: Mapping[str, float] | None = None,
    *,
    other: float = 200.0,
    fails: Mapping[str, str] | None = None,
) -> list[str]:
    """Let every latency that a pass measures be a planted one; the names that were raced."""
    launch, _ = simulate(Planted(call_us or {"before": 900.0}, other), fails=fails)
    raced: list[str] = []

    def noted(variant: Variant) -> Station:
        raced.append(variant.name)
        return launch(variant)

    for module in ("aitrade_cli.passes.timing", "aitrade_cli.passes.optimize.forms"):
        monkeypatch.setattr(f"{module}.measure", partial(measure, launch=noted))
    return raced


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run one command line in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["aitrade", *words])
    return run(words)


def digest(data: bytes) -> str:
    return sha256(data)
