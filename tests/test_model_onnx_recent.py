"""A graph that looks back on fewer steps computes what the network does with fewer steps."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from aitrade_cli.model.architectures import create
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights
from aitrade_cli.model.card import Arch, Card, TensorSpec
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.onnx_recent import NoWindowToCut, keep_recent
from aitrade_cli.model.runtimes.start import start_onnx

FEATURES = 5
WINDOW = 12


def exported(arch: Arch) -> tuple[torch.nn.Module, OnnxGraph]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = create(arch).eval()
    card = Card(
        inputs=(TensorSpec("window", ("batch", "time", FEATURES)),),
        outputs=(TensorSpec("logits", ("batch", 3)),),
        arch=arch,
    )
    made, _ = export_onnx(Artefact(card, TorchWeights(dict(network.state_dict()))))
    assert isinstance(made.network, OnnxGraph)
    return network, made.network


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("steps", [1, 5, WINDOW, 99])
def test_it_equals_the_network_on_the_latest_steps(name: str, steps: int) -> None:
    network, graph = exported(Arch(name, {"features": FEATURES, "hidden_sizes": [8, 8]}))
    running = start_onnx(keep_recent(graph, steps))
    for batch, time in ((1, WINDOW), (3, WINDOW), (2, 1), (1, WINDOW + 7)):
        window = np.random.default_rng(batch).standard_normal((batch, time, FEATURES))
        window = window.astype(np.float32)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(window[:, -steps:])).numpy()
        np.testing.assert_allclose(running.run(window), wanted, atol=1e-5)


def test_the_input_keeps_its_name_and_shape() -> None:
    _, graph = exported(Arch("gru", {"features": FEATURES, "hidden_sizes": [8]}))
    before = onnx.load_model_from_string(graph.proto_bytes).graph.input
    after = onnx.load_model_from_string(keep_recent(graph, 4).proto_bytes).graph.input
    assert list(before) == list(after)


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_is_refused(steps: int) -> None:
    _, graph = exported(Arch("gru", {"features": FEATURES, "hidden_sizes": [8]}))
    with pytest.raises(NoWindowToCut, match=str(steps)):
        keep_recent(graph, steps)


def test_a_graph_of_another_kind_is_refused() -> None:
    one = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ["batch", 4])
    two = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, ["batch", 4])
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [one], [two]))
    with pytest.raises(NoWindowToCut):
        keep_recent(OnnxGraph(model.SerializeToString()), 2)
