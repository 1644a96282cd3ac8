"""Every technique is tried, and one that fails or repeats another is listed, not lost."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.quantization.prepare import prepare
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.quantize.candidates import Candidate, NoCalibration, Workshop, build_all
from aitrade_cli.passes.quantize.run import graph_of
from aitrade_cli.passes.quantize.settings import Kind, Settings
from aitrade_cli.passes.sample import calibration_windows
from tests.fidelity_market import Model
from tests.passes_cases import WINDOW, bars_inside, onnx_model

DYNAMIC: Final[frozenset[Kind]] = frozenset(("dynamic",))
STATIC: Final[frozenset[Kind]] = frozenset(("static",))
WAYS: Final = "aitrade_cli.passes.quantize.candidates"  # where the techniques are looked up


def silent(_: str) -> None: ...


@pytest.fixture(scope="module")
def shop() -> Workshop:
    _, sample = bars_inside()
    earlier, _ = calibration_windows(sample, WINDOW)
    few = np.ascontiguousarray(earlier[-8:])
    return Workshop(prepare(graph_of(onnx_model()), few[:2]), few, earlier, "", None)


def named(built: Collection[Candidate]) -> dict[str, Candidate]:
    return {one.name: one for one in built}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (Settings(kinds=DYNAMIC), {"dynamic", "dynamic, a scale a matrix"}),
        (Settings(kinds=DYNAMIC, per_channel=False), {"dynamic"}),
        (Settings(kinds=STATIC), {"static", "static, layers only"}),
        (Settings(bits="int4"), {"4-bit weights, blocks of 32", "4-bit weights, blocks of 128"}),
        (Settings(bits="fp16"), {"fp16 weights"}),
        (Settings(bits="bf16"), {"bf16 weights"}),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else "",
)
def test_the_request_decides_what_is_built(
    shop: Workshop, asked: Settings, names: set[str]
) -> None:
    built = named(build_all(shop, asked, silent))
    assert set(built) == names
    assert all(one.graph or one.failed.startswith("same as") for one in built.values())


def test_each_is_announced(shop: Workshop) -> None:
    said: list[str] = []
    build_all(shop, Settings(kinds=DYNAMIC), said.append)
    assert said == ["building dynamic", "building dynamic, a scale a matrix"]


def test_int8_covers_nearly_all_weights_of_a_perceptron(shop: Workshop) -> None:
    for one in build_all(shop, Settings(), silent):
        assert one.covered is not None
        # 1,864 of 1,923 parameters are weights; the others are biases.
        assert one.covered.int8_share == pytest.approx(1_864 / 1_923)


def test_a_twin_is_dropped_by_the_name_of_the_first(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WAYS}.quantize_dynamic", lambda *_, **__: shop.graph)
    first, second = build_all(shop, Settings(kinds=DYNAMIC), silent)
    assert first.graph == shop.graph
    assert (second.graph, second.failed) == (None, "same as `dynamic`")


def raising(error: Exception) -> Callable[..., OnnxGraph]:
    def fail(*_: Any, **__: Any) -> OnnxGraph:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BadInput("`Einsum` cannot be quantized"), "`Einsum` cannot be quantized"),
        (RuntimeError("[ONNXRuntimeError] : 6\nat line 9"), "RuntimeError: [ONNXRuntimeError] : 6"),
        (KeyError(), "KeyError: no message"),
        (ValueError("x" * 5_000), f"ValueError: {'x' * 160}"),
    ],
)
def test_a_technique_that_fails_is_listed_with_its_reason(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    monkeypatch.setattr(f"{WAYS}.quantize_static", raising(error))
    built = named(build_all(shop, Settings(), silent))
    assert built["static"].failed == built["static, layers only"].failed == told
    assert built["static"].graph is None
    assert built["dynamic"].graph is not None


def test_two_that_failed_are_no_twins(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{WAYS}.quantize_dynamic", raising(KeyError("a")))
    built = build_all(shop, Settings(kinds=DYNAMIC), silent)
    assert [one.failed for one in built] == ["KeyError: 'a'"] * 2


def test_a_graph_that_does_not_open_is_listed_too(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wreck = OnnxGraph(b"no protobuf at all")
    monkeypatch.setattr(f"{WAYS}.quantize_half", lambda *_, **__: wreck)
    (one,) = build_all(shop, Settings(bits="bf16"), silent)
    assert one.graph is None
    assert one.failed


def test_an_interrupt_is_not_swallowed(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> OnnxGraph:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{WAYS}.quantize_dynamic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_all(shop, Settings(), silent)


def test_static_without_bars_says_what_to_do(shop: Workshop) -> None:
    bare = replace(shop, calibration=None, no_calibration="no sample inside the artefact")
    with pytest.raises(NoCalibration, match="no sample inside the artefact") as caught:
        build_all(bare, Settings(kinds=STATIC), silent)
    assert caught.value.exit_code == 4
    assert "--data" in caught.value.hint
    assert "--dynamic" in caught.value.hint


def test_where_either_would_do_dynamic_needs_no_bars(shop: Workshop) -> None:
    bare = replace(shop, calibration=None, no_calibration="none")
    assert {one.name for one in build_all(bare, Settings(), silent)} == {
        "dynamic",
        "dynamic, a scale a matrix",
    }


def test_what_is_kept_in_float_is_not_covered(shop: Workshop) -> None:
    (whole, *_) = build_all(shop, Settings(kinds=DYNAMIC), silent)
    kept = shop.build("again", whole.make, ("Gemm head.weight",))
    assert kept.kept == ("Gemm head.weight",)
    assert whole.covered is not None
    assert kept.covered is not None
    assert whole.covered.int8_stored - kept.covered.int8_stored == 24 * 3


def test_flips_are_counted_on_the_windows_to_choose_on(shop: Workshop) -> None:
    card, sample = bars_inside()
    _, later = calibration_windows(sample, WINDOW)
    assert card.decision is not None
    flat = Model(lambda window: np.tile(np.array([0.0, 9.0, 0.0], np.float32), (len(window), 1)))
    watched = replace(shop, flips=Flips.of(flat, later, card.decision))
    (one, *_) = build_all(watched, Settings(bits="fp16"), silent)
    # The network is short or long on two bars of three, and this "source" never is.
    assert one.flips is not None
    assert one.flips > 0.3
