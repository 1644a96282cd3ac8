"""Parity tries every shape and the worst days, and notices a model that breaks on one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.cases import BATCHES, Case, UnknownInput, cases, input_shape
from aitrade_cli.fidelity.match import (
    InputsDiffer,
    SampleLeaks,
    require_no_leak,
    require_same_inputs,
)
from aitrade_cli.fidelity.outputs import Remembered, WrongOutputs, outputs_of, run_once
from aitrade_cli.fidelity.parity import Parity, parity_gate, try_parity
from aitrade_cli.model.card import Card, TensorSpec
from tests.fidelity_market import FEATURES, WINDOW, Model, card, momentum, sample, series

ROWS = series(300).features


def tried(after: Model, *, on: Card | None = None, before: Model | None = None) -> Parity:
    return try_parity(before or Model(momentum()), after, on or card(), ROWS)


def every_case(on: Card) -> dict[str, Case]:
    return {case.name: case for case in cases(input_shape(on), on, ROWS, "real")}


def test_a_model_is_the_same_as_itself_everywhere() -> None:
    parity = tried(Model(momentum()))
    assert {case.status for case in parity.cases} == {"ran"}
    assert all(case.max_abs == 0.0 for case in parity.cases)
    assert parity_gate(parity, Budget()).status == "held"
    assert parity_gate(parity, Budget(max_output_delta=0.0)).status == "held"


def test_five_shapes_and_more_with_batch_one_length_one_and_unseen_lengths() -> None:
    shapes = {(case.batch, case.length) for case in every_case(card()).values()}
    assert {(batch, WINDOW) for batch in BATCHES} <= shapes
    assert {1, WINDOW - 3, WINDOW + 5, 2 * WINDOW} <= {length for _, length in shapes}


def test_a_fixed_time_axis_still_gets_five_shapes() -> None:
    parity = tried(Model(momentum()), on=card(time=WINDOW))
    assert parity.shapes >= 5
    told = {case.name: case.reason for case in parity.cases if case.status == "not_applicable"}
    assert told["one bar"] == f"the time axis is fixed at {WINDOW}"


def test_a_fixed_batch_is_asked_as_it_is() -> None:
    def picky(window: np.ndarray) -> np.ndarray:
        if len(window) != 5:
            raise ValueError("batch of 5 only")
        return momentum()(window)

    parity = tried(Model(picky), before=Model(picky), on=card(batch=5))
    assert parity_gate(parity, Budget()).status == "held"
    assert parity.output_spread is not None
    assert {case.batch for case in parity.ran} == {5}


def test_extremes_look_like_a_markets_worst_day() -> None:
    found = every_case(card())
    halt = found["trading halt"].window
    assert halt is not None
    # Raw zeros through mean (0, .5, 1) and std (1, 1, 2): no return, no range, no volume.
    assert np.unique(halt[:, WINDOW // 2 :], axis=1)[0, 0].tolist() == [0.0, -0.5, -0.5]
    up, down = found["20-sigma tick up"].window, found["20-sigma tick down"].window
    assert up is not None
    assert down is not None
    assert (up == 20.0).sum() == len(up) * FEATURES
    assert (down[:, -1] == -20.0).all()
    clip, alternating = found["all at the clip"].window, found["alternating clips"].window
    assert clip is not None
    assert alternating is not None
    assert (clip == 5.0).all()
    assert (np.diff(alternating, axis=1) != 0).all()


def test_a_halt_without_known_preprocessing_repeats_the_last_bar() -> None:
    halt = every_case(replace(card(), preprocessing=None))["trading halt"].window
    assert halt is not None
    assert (np.diff(halt[:, len(halt[0]) // 2 :], axis=1) == 0).all()


def broken_at(what: str) -> Model:
    """Right everywhere but in one kind of case."""

    def answer(window: np.ndarray) -> np.ndarray:
        outputs = momentum()(window)
        zeros = not window.any()
        match what:
            case "length 1" if window.shape[1] == 1:
                raise RuntimeError("Invalid input shape: {1}\n  at node Conv_3")
            case "longer" if window.shape[1] > WINDOW:
                raise RuntimeError("frozen time axis")
            case "batch" if len(window) > 1:
                raise RuntimeError("frozen batch axis")
            case "nan on zeros" if zeros:
                outputs[0, 0] = np.nan
            case "inf on ticks" if (window == 20.0).any():
                outputs[:] = np.inf
            case "two outputs":
                return outputs[:, :2]
            case "flat rank":
                return outputs[:, 0]
            case _:
                pass
        return outputs

    return Model(answer)


@pytest.mark.parametrize(
    ("what", "where", "words"),
    [
        ("length 1", "one bar", "Invalid input shape: {1} at node Conv_3"),
        ("longer", "11 bars", "frozen time axis"),
        ("batch", "batch 2", "frozen batch axis"),
        ("nan on zeros", "all zeros", "1 of 12 outputs are not finite"),
        ("inf on ticks", "20-sigma tick up", "12 of 12 outputs are not finite"),
        ("two outputs", "batch 1", "2 outputs where the original gives 3"),
        ("flat rank", "batch 1", "a batch of 1 gives an output of shape `[1]`"),
    ],
)
def test_one_broken_case_fails_the_gate_and_is_named(what: str, where: str, words: str) -> None:
    gate = parity_gate(tried(broken_at(what)), Budget())
    assert gate.fails
    assert gate.reason.startswith(f"lost `{where}` ({words})")


def test_what_the_original_cannot_do_either_is_no_failure() -> None:
    parity = tried(broken_at("length 1"), before=broken_at("length 1"))
    assert parity_gate(parity, Budget()).status == "held"
    assert {case.name for case in parity.cases if case.status == "original_fails"} == {"one bar"}


def test_what_the_original_gives_no_number_for_is_not_asked_of_the_other() -> None:
    parity = tried(broken_at("nan on zeros"), before=broken_at("nan on zeros"))
    assert parity_gate(parity, Budget()).status == "held"


def test_a_long_complaint_is_cut() -> None:
    def complain(window: np.ndarray) -> np.ndarray:
        raise RuntimeError("x" * 10_000 + str(window.shape))

    parity = tried(Model(complain))
    assert parity.worst is not None
    assert len(parity.worst.reason) == 160


def test_an_original_that_never_runs_leaves_nothing_to_judge() -> None:
    parity = tried(broken_at("flat rank"), before=broken_at("flat rank"))
    assert parity_gate(parity, Budget()).status == "not_run"
    assert parity_gate(parity, Budget(max_output_delta=1.0)).fails


@settings(max_examples=8)
@given(st.floats(0.001, 10))
def test_a_shift_of_all_outputs_is_measured_as_it_is(shift: float) -> None:
    wide = Model(lambda window: momentum()(window).astype(np.float64) + shift)
    parity = tried(wide)
    assert parity.real_max_abs == pytest.approx(shift, abs=1e-5)
    for case in parity.cases:
        assert case.max_abs == pytest.approx(shift, abs=1e-5)
        assert case.p99_abs == pytest.approx(shift, abs=1e-5)
        assert case.relative == pytest.approx(shift / (parity.output_spread or 1), rel=1e-2)


def test_the_output_budget_looks_at_real_bars_not_at_extremes() -> None:
    parity = tried(Model(lambda w: momentum()(w) + (1e3 if (w == 20).any() else 0.01)))
    assert parity_gate(parity, Budget(max_output_delta=0.02)).status == "held"
    assert parity_gate(parity, Budget(max_output_delta=0.001)).status == "missed"
    assert parity.worst is not None
    assert parity.worst.name == "20-sigma tick up"


def test_outputs_that_depend_on_their_batch_are_seen() -> None:
    def scaled(window: np.ndarray) -> np.ndarray:
        """Rounds by the largest value of the batch, as dynamic INT8 does."""
        step = np.abs(window).max() / 127
        return momentum()((window / step).round() * step)

    assert tried(Model(momentum())).batch_effect == 0.0
    assert (tried(Model(scaled)).batch_effect or 0.0) > 1e-4


def test_without_bars_parity_runs_on_seeded_noise() -> None:
    first = try_parity(Model(momentum()), Model(momentum(noise=0.1)), card(), None, seed=3)
    again = try_parity(Model(momentum()), Model(momentum(noise=0.1)), card(), None, seed=3)
    assert first == again
    assert {case.kind for case in first.cases} == {"synthetic", "extreme"}


@settings(max_examples=30)
@given(st.integers(1, 50), st.integers(1, 60))
def test_batches_of_any_size_give_the_same_outputs(count: int, batch_size: int) -> None:
    windows = series(count + WINDOW - 1).windows(WINDOW)
    asked: list[int] = []

    def answer(window: np.ndarray) -> np.ndarray:
        asked.append(len(window))
        return momentum()(window)

    found = outputs_of(Model(answer), windows, batch_size)
    assert np.array_equal(found, momentum()(windows))
    assert set(asked) == {batch_size}


def test_an_answer_of_another_length_is_refused() -> None:
    window = np.zeros((4, WINDOW, FEATURES), dtype=np.float32)
    with pytest.raises(WrongOutputs, match=r"a batch of 4 .* `\[1, 3\]`"):
        run_once(Model(lambda w: momentum()(w)[:1]), window)


def test_a_remembered_model_is_asked_once_and_answers_the_same() -> None:
    asked = 0

    def answer(window: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += 1
        return momentum()(window)

    model = Remembered(Model(answer))
    window = ROWS[None, :WINDOW]
    first = model.run(window)
    first[:] = 0  # what a caller does to its copy is its own affair
    assert np.array_equal(model.run(window), momentum()(window))
    assert asked == 1
    model.run(ROWS[None, : WINDOW + 1])
    model.run(ROWS[None, 1 : WINDOW + 1])
    model.run(ROWS[:WINDOW, None].reshape(WINDOW, 1, FEATURES))
    assert asked == 4


@pytest.mark.parametrize(
    "shape", [("batch", 5), ("batch", "time", "feature"), ("batch", "time", 3, 4)]
)
def test_an_input_of_another_kind_is_refused(shape: tuple[int | str, ...]) -> None:
    other = replace(card(), inputs=(TensorSpec("window", shape),))
    with pytest.raises(UnknownInput):
        input_shape(other)


def test_two_inputs_are_refused() -> None:
    with pytest.raises(UnknownInput):
        input_shape(replace(card(), inputs=card().inputs * 2))


def prepared(**changes: object) -> Card:
    made = card().preprocessing
    assert made is not None
    return replace(card(), preprocessing=replace(made, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(card(), inputs=(TensorSpec("window", ("batch", "time", 9)),)), "3 features and 9"),
        (prepared(features=("return", "volume", "range")), "another order"),
        (prepared(features=("return", "range", "rsi")), "only the first reads `volume`"),
        (prepared(mean=(0.0, 0.5, 1.1)), "normalised by other means"),
        (prepared(clip=3.0), "clipped at 5 and 3"),
        (prepared(window=9), "windows of 6 and 9 bars"),
        (
            replace(card(), inputs=(TensorSpec("window", ("batch", "time", FEATURES), "float16"),)),
            "float32 and float16",
        ),
    ],
)
def test_models_of_other_inputs_are_refused_and_both_named(other: Card, words: str) -> None:
    with pytest.raises(InputsDiffer, match=words) as caught:
        require_same_inputs(card(), other, "one.pt", "two.onnx")
    assert str(caught.value).startswith("`one.pt` and `two.onnx` take different inputs")
    assert isinstance(caught.value, BadInput)


def test_a_free_axis_fits_a_fixed_one() -> None:
    require_same_inputs(card(), card(time=WINDOW, batch=1), "one.pt", "two.onnx")
    require_same_inputs(card(time=WINDOW), card(), "one.pt", "two.onnx")


def test_two_fixed_axes_must_be_the_same() -> None:
    with pytest.raises(InputsDiffer, match="the batch axis is 1 and 8"):
        require_same_inputs(card(batch=1), card(batch=8), "one.pt", "two.onnx")


def test_calibration_may_touch_evaluation_but_not_reach_into_it() -> None:
    require_no_leak(sample(gap=0))
    with pytest.raises(SampleLeaks, match="evaluation starts at row `149`"):
        require_no_leak(sample(gap=-1))
