"""The report as JSON, as history and as a whole screen."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.fidelity.report import summary
from aitrade_cli.report.ndjson import to_data
from tests.fidelity_cases import BARS, BUDGET, COVERAGE, GAIN, NO_GAIN, judged, screen
from tests.fidelity_market import WINDOW, Model, card, momentum, nan_now_and_then, refuse, sample
from tests.golden import assert_golden

EVERYTHING = [
    {"budget": BUDGET, "gain": GAIN, "coverage": COVERAGE},
    {"sample": None},
    {"sample": None, "card": card(time=WINDOW, batch=1)},
    {"card": replace(card(), decision=None)},
    {"gain": Gain(), "coverage": Coverage(0, 0)},
]


@pytest.mark.parametrize("how", EVERYTHING)
@pytest.mark.parametrize(
    "after",
    [
        Model(momentum()),
        Model(momentum(noise=0.4)),
        Model(momentum(threshold=99.0)),
        Model(nan_now_and_then),
        Model(lambda w: np.full((len(w), 3), np.nan, dtype=np.float32)),
        Model(lambda w: momentum()(w)[:, :1]),
        Model(lambda _: refuse()),
    ],
)
def test_every_report_is_plain_json_and_fits_eighty_columns(
    how: dict[str, object], after: Model
) -> None:
    report = judged(after, **how)
    data = json.loads(json.dumps(to_data(report), allow_nan=False))
    assert data["passed"] is report.passed
    assert data["verdict"] == report.verdict
    kept = json.dumps(summary(report), allow_nan=False)
    assert len(kept) < 1500
    lines = screen(report).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert not any("nan" in line.split() for line in lines)
    assert "…" not in "".join(lines[:12])


def test_the_history_keeps_what_decides() -> None:
    kept = summary(judged(Model(momentum(noise=0.05)), gain=GAIN, coverage=COVERAGE))
    assert kept["gates"]["parity"] == "held"
    assert kept["speedup"] == pytest.approx(948.2 / 205.1)
    assert kept["bars"] == BARS
    assert math.isfinite(kept["sharpe_change"])


@pytest.mark.parametrize(
    ("name", "after", "how"),
    [
        ("held", Model(momentum(noise=0.01)), EVERYTHING[0]),
        ("informed", Model(momentum(noise=0.3)), {"gain": GAIN, "coverage": COVERAGE}),
        ("missed", Model(momentum(gain=-1)), EVERYTHING[0]),
        ("broken", Model(nan_now_and_then), {"gain": NO_GAIN, "coverage": COVERAGE}),
        ("without_sample", Model(momentum()), {"sample": None, "gain": GAIN}),
    ],
)
def test_the_screen_is_the_one_that_was_reviewed(
    name: str, after: Model, how: dict[str, object], regen: bool
) -> None:
    report = judged(after, **{"sample": sample(700), "resamples": 2000, **how})
    assert_golden(f"equivalence_{name}.txt", screen(report), regen=regen)
