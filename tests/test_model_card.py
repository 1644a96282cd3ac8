"""The card: decision rules by hand, and plain data that survives a round trip or is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import Arch, Card, Decision, Preprocessing, Sample, Step, TensorSpec
from aitrade_cli.model.card_data import BadCard, card_from_dict, card_to_dict, pack
from aitrade_cli.model.series import Series


def a_series(rows: int = 40, features: int = 3) -> Series:
    rng = np.random.default_rng(rows)
    return Series(
        np.arange(rows, dtype=np.int64) * 3_600_000_000_000 + 1_500_000_000_000_000_000,
        rng.uniform(1.0, 2.0, rows),
        rng.uniform(1.0, 2.0, rows),
        rng.normal(size=(rows, features)).astype(np.float32),
    )


def a_card() -> Card:
    return Card(
        inputs=(TensorSpec("window", ("batch", "time", 3)),),
        outputs=(TensorSpec("logits", ("batch", 3)),),
        arch=Arch("lstm", {"features": 3, "hidden_sizes": [4, 4]}),
        preprocessing=Preprocessing(("a", "b", "c"), 8, (0.0, 1.0, 2.0), (1.0, 1.0, 3.0), 5.0),
        decision=Decision(),
        sample=Sample(a_series(), 16, 24, "EURUSD", "0" * 64),
        history=(Step("train", {"seed": 7}, {"loss": 1.1}, {"torch": "2.13"}, None),),
        trained_until_ns=1_500_000_000_000_000_000,
    )


def test_the_largest_output_decides_and_ties_go_to_the_first() -> None:
    outputs = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [0.0, 1.0, 9.0], [2.0, 0.0, 2.0]])
    assert Decision().positions_of(outputs).tolist() == [-1.0, 0.0, 1.0, -1.0]


def test_a_margin_is_the_distance_to_the_second_largest_output() -> None:
    outputs = np.array([[3.0, 1.0, 2.5], [1.0, 1.0, 0.0]])
    assert Decision().margin_of(outputs).tolist() == [0.5, 0.0]


def test_a_threshold_leaves_a_flat_band_around_zero() -> None:
    rule = Decision("threshold", (), 0.25)
    outputs = np.array([[0.3], [0.25], [0.0], [-0.25], [-0.3]])
    assert rule.positions_of(outputs).tolist() == [1.0, 0.0, 0.0, 0.0, -1.0]
    assert rule.margin_of(outputs) == pytest.approx([0.05, 0.0, 0.25, 0.0, 0.05])


def test_a_rule_that_does_not_fit_the_outputs_is_refused() -> None:
    with pytest.raises(BadInput, match="wants 3 outputs, the model gives 2"):
        Decision().positions_of(np.zeros((4, 2)))


def test_windows_are_views_in_time_order() -> None:
    series = a_series()
    windows = series.windows(8)
    assert windows.shape == (33, 8, 3)
    assert np.shares_memory(windows, series.features)
    for at in (0, 5, 32):
        assert np.array_equal(windows[at], series.features[at : at + 8])


def test_fewer_rows_than_a_window_are_refused() -> None:
    with pytest.raises(BadInput, match="5 rows are fewer than one window of 8"):
        a_series(5).windows(8)


def test_a_card_survives_the_round_trip() -> None:
    card = a_card()
    back = card_from_dict(card_to_dict(card))
    assert card.sample is not None
    assert back.sample is not None
    for part in ("timestamp_ns", "open_price", "close_price", "features"):
        assert np.array_equal(getattr(back.sample.series, part), getattr(card.sample.series, part))
    bare = {**card_to_dict(card), "sample": None}
    assert card_to_dict(card_from_dict(bare)) == bare


@given(st.integers(1, 300), st.integers(1, 9))
def test_samples_of_any_size_survive(rows: int, features: int) -> None:
    series = a_series(rows, features)
    card = Card((), (), sample=Sample(series, rows // 3, rows // 2, "X", "1" * 64))
    back = card_from_dict(card_to_dict(card)).sample
    assert back is not None
    assert np.array_equal(back.series.features, series.features)
    assert (back.calibration_rows, back.evaluation_row) == (rows // 3, rows // 2)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("inputs",), None, "`inputs`"),
        (("decision", "kind"), "coin", "`coin`"),
        (("decision", "positions"), [2.0], "`positions`"),
        (("preprocessing", "window"), 0, "`window` is 0"),
        (("preprocessing", "mean"), [0.0], "3 features, 1 means"),
        (("sample", "rows"), 1 << 60, "not possible"),
        (("sample", "evaluation_row"), 3, "not in order"),
        (("sample", "features"), b"nonsense", "`features` of the sample is damaged"),
        (("sample", "open_price"), pack(np.zeros(3), "<f8"), "wrong length"),
        (("history",), "none", "`history` is str"),
        (("trained_until_ns",), "today", "`trained_until_ns` is str"),
    ],
)
def test_a_damaged_part_is_named(path: tuple[str, ...], value: object, told: str) -> None:
    data = copy.deepcopy(card_to_dict(a_card()))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(BadCard, match=told):
        card_from_dict(data)


def test_a_sample_that_inflates_past_its_claim_stops_at_the_claim() -> None:
    data = card_to_dict(a_card())
    data["sample"]["features"] = pack(np.zeros(50_000_000, dtype=np.float32), "<f4")
    with pytest.raises(BadCard, match="wrong length"):
        card_from_dict(data)


def test_one_step_more_leaves_the_first_card_alone() -> None:
    card = a_card()
    longer = card.with_step(Step("prune", {}, {}, {}, "2" * 64))
    assert [step.command for step in longer.history] == ["train", "prune"]
    assert len(card.history) == 1
