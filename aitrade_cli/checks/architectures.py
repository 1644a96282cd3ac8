"""Proof of M13: each reference model loads, runs and trades both ways on bars it never saw."""

from __future__ import annotations

import numpy as np

from aitrade_cli.checks.fixtures import MODELS, fixtures_folder, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import prepare
from aitrade_cli.model.loading import load
from aitrade_cli.model.runtimes import start

LEAST_SIDE = 0.10  # share of held-out bars on which a model must be long, and short
LEAST_BARS = 2_000
BATCH = 256


def reference_models_trade(quick: bool) -> CheckResult:
    """Each is long and short on a tenth or more of 2,000 or more held-out bars."""
    names = ("mlp", "tcn") if quick else MODELS
    bounds, cases = [], []
    for name in names:
        position = held_out_positions(name)
        long, short = float((position > 0).mean()), float((position < 0).mean())
        bounds += [
            Bound(f"{name} held-out bars", len(position), LEAST_BARS, "at_least", "bars"),
            Bound(f"{name} long", long, LEAST_SIDE, "at_least", "of bars"),
            Bound(f"{name} short", short, LEAST_SIDE, "at_least", "of bars"),
        ]
        cases.append(Case(name, None, None, f"long {long:.1%}, short {short:.1%}"))
    return CheckResult(
        Measured(),
        tuple(bounds),
        "eurusd_1h after each model's training span, eager float32",
        tuple(cases),
    )


def held_out_positions(name: str) -> np.ndarray:
    data = model_file(name).read_bytes()
    artefact = load(data, name=f"{name}.pt")
    card = artefact.card
    if card.preprocessing is None or card.decision is None or card.trained_until_ns is None:
        raise ValueError(f"fixture {name} has no preprocessing, decision or training span")
    bars = read_bars(str(fixtures_folder() / "bars" / "eurusd_1h.parquet"))
    series = prepare(bars, card.preprocessing)
    first = int(np.searchsorted(series.timestamp_ns, card.trained_until_ns, side="right"))
    windows = series.rows(first, len(series)).windows(card.preprocessing.window)
    runtime = start(artefact, "eager")
    parts = [
        card.decision.positions_of(runtime.run(np.ascontiguousarray(windows[i : i + BATCH])))
        for i in range(0, len(windows), BATCH)
    ]
    return np.concatenate(parts)
