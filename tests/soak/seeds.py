"""Files to start from: one honest file of every kind, and some that mean harm."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save as save_safetensors

from aitrade_cli.model.architectures import create
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights, dump
from aitrade_cli.model.card import (
    Arch,
    Card,
    Decision,
    Preprocessing,
    Sample,
    Step,
    TensorSpec,
)
from aitrade_cli.model.series import Series
from tests import hostile, hostile_graphs


@dataclass(frozen=True, slots=True)
class Seed:
    """A file before it is changed."""

    kind: str
    data: bytes


def card(arch: Arch | None) -> Card:
    """A card with every part, a sample of 40 bars included."""
    rows = np.arange(40, dtype=np.int64)
    prices = 1.0 + 0.01 * np.sin(rows)
    series = Series(rows * 3600, prices, prices, np.stack([prices] * 3, axis=1).astype(np.float32))
    return Card(
        inputs=(TensorSpec("window", ("batch", "time", 3)),),
        outputs=(TensorSpec("logits", ("batch", 3)),),
        arch=arch,
        preprocessing=Preprocessing(("a", "b", "c"), 4, (0.0,) * 3, (1.0,) * 3),
        decision=Decision(),
        sample=Sample(series, 16, 20, "EURUSD", "0" * 64),
        history=(Step("train", {"seed": 7}, {"loss": 1.0}, {"torch": "2"}, None),),
        trained_until_ns=7,
    )


def own() -> bytes:
    arch = Arch("lstm", {"features": 3, "hidden_sizes": [4]})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = create(arch)
    return dump(Artefact(card(arch), TorchWeights(network.state_dict())))


def graph() -> bytes:
    """An ONNX artefact with a weight, a branch and our metadata."""
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    choice = numpy_helper.from_array(np.array(True), "c")
    out = [helper.make_tensor_value_info("z", 1, ["batch", 3])]
    branches = [
        helper.make_graph([helper.make_node(kind, ["y0"], ["z"])], kind, [], out)
        for kind in ("Relu", "Tanh")
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y0"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    return dump(
        Artefact(card(None), OnnxGraph(hostile_graphs.graph_model(nodes, [weight, choice])))
    )


def seeds(mark: Path) -> tuple[Seed, ...]:
    """One file of every kind. Those that would run code would make ``mark``."""
    weights = hostile.small().state_dict()
    makers: dict[str, Callable[[], bytes]] = {
        "artefact": own,
        "state dict": lambda: hostile.saved(weights),
        "wrapped state dict": lambda: hostile.saved({"state_dict": weights, "epoch": 3}, 4),
        "safetensors": lambda: save_safetensors(weights),
        "onnx": graph,
        "onnx with external data": lambda: hostile_graphs.external("weights.bin", length="36"),
        "exported": hostile.exported,
        "torchscript": hostile.scripted,
        "raw state": lambda: pickle.dumps({"a": [1, 2.0, "x", (None, True)]}, 4),
        "pickled module": lambda: hostile.pickled_module(mark),
        "raw pickle": lambda: hostile.raw_pickle(mark, 2),
        "raw pickle as text": lambda: hostile.raw_pickle(mark, 0),
        "exported with a pickle": lambda: hostile.exported_with_pickle(mark),
        "exported with code": lambda: hostile.exported_with_expression(mark),
        "torchscript that writes": lambda: hostile.script_that_writes(mark),
    }
    return tuple(Seed(kind, make()) for kind, make in makers.items())
