"""An artefact is what it was after a trip through its file."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from onnx import TensorProto, helper

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import (
    Artefact,
    OnnxGraph,
    TorchWeights,
    canonical,
    dump,
    with_metadata,
)
from aitrade_cli.model.card import (
    Arch,
    Card,
    Decision,
    Preprocessing,
    Sample,
    Step,
    TensorSpec,
)
from aitrade_cli.model.card_data import BadCard
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.own import NewerFormat
from aitrade_cli.model.series import Series

# Descriptions, from which the test makes the parts: made inside a strategy, the type checker's
# use of `random` would disturb Hypothesis.
words = st.text(max_size=8)
numbers = st.floats(allow_nan=False, width=32)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)
tables = st.dictionaries(words, plain, max_size=2)
specs = st.tuples(words, st.lists(st.integers(1, 99) | words, max_size=3).map(tuple), words)
steps = st.tuples(
    words, tables, tables, st.dictionaries(words, words, max_size=2), st.none() | words
)


@st.composite
def preprocessings(draw: st.DrawFn) -> tuple[Any, ...]:
    count = draw(st.integers(0, 4))
    several = st.lists(numbers, min_size=count, max_size=count).map(tuple)
    names = draw(st.lists(words, min_size=count, max_size=count))
    return tuple(names), draw(st.integers(1, 99)), draw(several), draw(several), draw(numbers)


@st.composite
def samples(draw: st.DrawFn) -> tuple[Any, ...]:
    rows, columns = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    finite = {"allow_nan": False, "allow_infinity": False}
    prices = nps.arrays(np.float64, rows, elements=finite)
    series = (
        draw(nps.arrays(np.int64, rows, elements=st.integers(0, 2**61))),
        draw(prices),
        draw(prices),
        draw(nps.arrays(np.float32, (rows, columns), elements=finite)),
    )
    first = draw(st.integers(0, rows))
    return series, first, draw(st.integers(first, rows)), draw(words), draw(words)


cards = st.fixed_dictionaries(
    {
        "inputs": st.lists(specs, max_size=2),
        "outputs": st.lists(specs, max_size=2),
        "arch": st.none() | st.tuples(words, tables),
        "preprocessing": st.none() | preprocessings(),
        "decision": st.sampled_from([None, (), ("threshold", (1.0,), 0.5)]),
        "sample": st.none() | samples(),
        "history": st.lists(steps, max_size=2),
        "trained_until_ns": st.none() | st.integers(0, 2**61),
    }
)
tensors = nps.arrays(
    st.sampled_from([np.float32, np.float16, np.int8, np.int64, np.bool_]),
    nps.array_shapes(min_dims=0, min_side=0, max_side=4),
)
state_dicts = st.dictionaries(words, tensors, min_size=1, max_size=3)


def card_of(parts: dict[str, Any]) -> Card:
    sample = parts["sample"]
    makers = {"arch": Arch, "preprocessing": Preprocessing, "decision": Decision}
    made = {key: make(*parts[key]) for key, make in makers.items() if parts[key] is not None}
    return Card(
        inputs=tuple(TensorSpec(*spec) for spec in parts["inputs"]),
        outputs=tuple(TensorSpec(*spec) for spec in parts["outputs"]),
        sample=None if sample is None else Sample(Series(*sample[0]), *sample[1:]),
        history=tuple(Step(*step) for step in parts["history"]),
        trained_until_ns=parts["trained_until_ns"],
        **made,
    )


def weights_of(arrays: dict[str, np.ndarray]) -> TorchWeights:
    return TorchWeights({name: torch.from_numpy(array) for name, array in arrays.items()})


def same(left: Any, right: Any) -> bool:
    """Equality that looks into arrays; NaN equals NaN."""
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, Sample | Series):
        parts = left.__slots__
        return all(same(getattr(left, part), getattr(right, part)) for part in parts)
    return left == right


def same_card(left: Card, right: Card) -> bool:
    return all(same(getattr(left, part), getattr(right, part)) for part in left.__slots__)


def tiny_graph() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


@settings(max_examples=40)
@given(cards, state_dicts)
def test_weights_and_card_come_back_from_a_pt(
    parts: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    card = card_of(parts)
    back = load(dump(Artefact(card, weights_of(arrays))))
    assert isinstance(back.network, TorchWeights)
    assert same_card(back.card, card)
    assert list(back.network.state_dict) == list(arrays)
    for name, tensor in back.network.state_dict.items():
        assert tensor.numpy().dtype == arrays[name].dtype
        assert tensor.numpy().tobytes() == arrays[name].tobytes()
        assert tensor.shape == arrays[name].shape


@settings(max_examples=25)
@given(cards)
def test_graph_and_card_come_back_from_an_onnx(parts: dict[str, Any]) -> None:
    card = card_of(parts)
    data = dump(Artefact(card, OnnxGraph(tiny_graph())))
    back = load(data)
    assert same_card(back.card, card)
    assert isinstance(back.network, OnnxGraph)
    assert onnx.load_from_string(back.network.proto_bytes).graph.node[0].op_type == "Relu"
    onnx.checker.check_model(onnx.load_from_string(data))


@settings(max_examples=25)
@given(cards, state_dicts)
def test_the_same_content_gives_the_same_bytes(
    parts: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    first = dump(Artefact(card_of(parts), weights_of(arrays)))
    assert dump(load(first)) == first


@settings(max_examples=25)
@given(cards, state_dicts)
def test_a_pt_is_plain_weights_to_torch(
    parts: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    data = dump(Artefact(card_of(parts), weights_of(arrays)))
    value = torch.load(io.BytesIO(data), weights_only=True)
    assert value["format"] == 1
    assert list(value["state_dict"]) == list(arrays)


def test_the_same_content_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys, torch; from aitrade_cli.model.artefact import *;"
        "from aitrade_cli.model.card import *;"
        "card = Card((TensorSpec('x', ('batch', 3)),), (), Arch('mlp', {'x': 'batch'}));"
        "sys.stdout.buffer.write(dump(Artefact(card, TorchWeights({'batch': torch.ones(3)}))))"
    )
    here = Card((TensorSpec("x", ("batch", 3)),), (), Arch("mlp", {"x": "batch"}))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == dump(Artefact(here, TorchWeights({"batch": torch.ones(3)})))


def test_a_slice_does_not_drag_its_whole_tensor_into_the_file() -> None:
    large = torch.zeros(1000, 1000)
    card = Card((), ())
    assert len(dump(Artefact(card, TorchWeights({"w": large[:2]})))) < 20_000


def test_weights_that_share_memory_take_it_once() -> None:
    shared = torch.zeros(1000, 100)
    card = Card((), ())
    data = dump(Artefact(card, TorchWeights({"a": shared, "b": shared})))
    network = load(data).network
    assert len(data) < 450_000
    assert isinstance(network, TorchWeights)
    assert network.state_dict["a"].data_ptr() == network.state_dict["b"].data_ptr()


def test_loading_tells_name_and_sha256() -> None:
    data = dump(Artefact(Card((), ()), TorchWeights({"w": torch.ones(1)})))
    artefact = load(data, name="lstm.pt")
    import hashlib

    assert (artefact.name, artefact.sha256) == ("lstm.pt", hashlib.sha256(data).hexdigest())


def test_a_format_of_the_future_asks_for_an_update() -> None:
    data = dump(Artefact(Card((), ()), TorchWeights({"w": torch.ones(1)})))
    value = {**torch.load(io.BytesIO(data), weights_only=True), "format": 2}
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with pytest.raises(NewerFormat, match="format `2`") as refusal:
        load(buffer.getvalue())
    assert "pip install" in refusal.value.hint


PARTS = ["inputs", "outputs", "history"]


@pytest.mark.parametrize("key", PARTS)
def test_a_missing_part_is_named(key: str) -> None:
    data = dump(Artefact(Card((), ()), TorchWeights({"w": torch.ones(1)})))
    value = torch.load(io.BytesIO(data), weights_only=True)
    del value[key]
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with pytest.raises(BadCard, match=f"`{key}`"):
        load(buffer.getvalue())


@pytest.mark.parametrize(
    "key", [*PARTS, "format", "arch", "preprocessing", "decision", "sample", "trained_until_ns"]
)
@pytest.mark.parametrize("wrong", ["text", {"a": torch.ones(2)}, math.nan, [[1]]])
def test_a_part_of_the_wrong_type_is_named(key: str, wrong: Any) -> None:
    data = dump(Artefact(Card((), ()), TorchWeights({"w": torch.ones(1)})))
    value = {**torch.load(io.BytesIO(data), weights_only=True), key: wrong}
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with pytest.raises(BadInput):
        load(buffer.getvalue())


def test_a_strangers_onnx_has_a_card_of_its_inputs_and_outputs() -> None:
    card = load(tiny_graph()).card
    assert card.inputs == (TensorSpec("x", ("batch", 3), "float32"),)
    assert card.outputs == (TensorSpec("y", ("batch", 3), "float32"),)
    assert (card.arch, card.sample, card.history) == (None, None, ())


def test_metadata_of_others_stays_in_the_graph() -> None:
    data = dump(Artefact(Card((), ()), OnnxGraph(with_metadata(tiny_graph(), "mine", "kept"))))
    network = load(data).network
    assert isinstance(network, OnnxGraph)
    kept = onnx.load_from_string(network.proto_bytes).metadata_props
    assert [(entry.key, entry.value) for entry in kept] == [("mine", "kept")]


def test_a_step_more_is_a_line_more() -> None:
    card = Card((), ())
    step = Step("quantize", {"kind": "int8"}, {}, {}, "00")
    artefact = Artefact(card, TorchWeights({"w": torch.ones(1)}))
    assert load(dump(replace(artefact, card=card.with_step(step)))).card.history == (step,)


def test_a_card_takes_plain_data_only() -> None:
    with pytest.raises(TypeError, match="Path"):
        canonical({"a": [Path()]}, {}, bytes)


def test_reading_onnx_needs_no_torch() -> None:
    code = (
        "import sys; from aitrade_cli.model.loading import load;"
        f"load({tiny_graph()!r}); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
