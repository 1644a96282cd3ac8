"""What the row M13 measures on models that are planted, and on one that is real."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.checks import architectures as row
from aitrade_cli.checks.architectures import held_out_positions, reference_models_trade
from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import prepare
from aitrade_cli.model.loading import load
from tests.passes_cases import BARS


def positions(long: int, short: int, flat: int) -> np.ndarray:
    return np.repeat([1.0, -1.0, 0.0], [long, short, flat])


def checked(found: np.ndarray, *, quick: bool = True) -> CheckResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row, "held_out_positions", lambda _: found)
        return reference_models_trade(quick)


@pytest.mark.parametrize(
    ("long", "short", "flat", "broken"),
    [
        (300, 300, 1_400, set()),
        (200, 200, 1_600, set()),
        (199, 201, 1_600, {"long"}),
        (1_000, 0, 1_000, {"short"}),
        (0, 0, 2_000, {"long", "short"}),
        (600, 600, 799, {"held-out bars"}),
    ],
)
def test_a_model_trades_both_ways_on_enough_bars(
    long: int, short: int, flat: int, broken: set[str]
) -> None:
    bounds = checked(positions(long, short, flat)).bounds
    found = {bound.name.split(" ", 1)[1] for bound in bounds if not bound.passed}
    assert found == broken


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(1, 3_000))
def test_the_shares_are_those_of_the_positions(long: int, short: int, flat: int) -> None:
    bars, of_long, of_short = checked(positions(long, short, flat)).bounds[:3]
    total = long + short + flat
    assert bars.measured == total
    assert of_long.measured == pytest.approx(long / total)
    assert of_short.measured == pytest.approx(short / total)


def test_quick_takes_two_models_and_the_whole_row_all() -> None:
    whole = checked(positions(300, 300, 1_400), quick=False)
    assert tuple(case.name for case in whole.cases) == MODELS
    assert [case.name for case in checked(positions(300, 300, 1_400)).cases] == ["mlp", "tcn"]
    assert whole.cases[0].note == "long 15.0%, short 15.0%"


def test_only_bars_after_training_are_counted() -> None:
    card = load(model_file("mlp").read_bytes(), name="mlp.pt").card
    assert card.preprocessing is not None
    assert card.trained_until_ns is not None
    series = prepare(read_bars(BARS), card.preprocessing)
    later = int((series.timestamp_ns > card.trained_until_ns).sum())
    found = held_out_positions("mlp")
    assert len(found) == later - card.preprocessing.window + 1
    assert set(np.unique(found)) <= {-1.0, 0.0, 1.0}
