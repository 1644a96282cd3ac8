"""A user's own network: what was cut is written down, made again on load, and never trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import Artefact, TorchWeights, dump
from aitrade_cli.model.card import Arch, Card
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.pruning import Pruned, importance, prune_structured
from aitrade_cli.model.pruning.graph import ForwardNotFollowed
from aitrade_cli.model.surgery import RECORD, BadSurgery, replay

NETS = "fixtures.user.nets:build"
WEIGHTS = Path(__file__).parent.parent / "fixtures" / "user" / "weights.pt"


def windows(count: int = 32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 10, 8)).astype(np.float32)


def pooled() -> tuple[nn.Module, Pruned]:
    network = build(load(WEIGHTS.read_bytes(), arch=NETS))
    scores = importance(network, Arch(NETS), windows())
    return network, prune_structured(network, Arch(NETS), 0.5, scores)


def saved(pruned: Pruned) -> bytes:
    return dump(Artefact(Card((), (), pruned.arch), TorchWeights(pruned.network.state_dict())))


def answers(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        return network(torch.from_numpy(windows(8)))


def test_the_cuts_are_made_again_on_load() -> None:
    _, pruned = pooled()
    again = build(load(saved(pruned), arch=NETS))
    assert answers(again).equal(answers(pruned.network))


def test_the_recurrence_is_cut_and_what_a_norm_looks_at_is_not() -> None:
    network, pruned = pooled()
    assert [(one.name, one.units_after) for one in pruned.layers] == [("recur", 32)]
    assert {one.name: one.reason for one in pruned.untouched} == {
        "leave": "these are the network's outputs",
        "enter": "other layers look at all of its units at once",
    }
    assert network.get_submodule("recur").get_parameter("weight_hh_l0").shape == (192, 64)


def test_pruning_a_pruned_file_adds_to_the_record() -> None:
    _, pruned = pooled()
    scores = importance(pruned.network, pruned.arch, windows())
    twice = prune_structured(pruned.network, pruned.arch, 0.5, scores)
    assert len(twice.arch.config[RECORD]) == 2 * len(pruned.arch.config[RECORD])
    assert answers(build(load(saved(twice), arch=NETS))).equal(answers(twice.network))


def altered(**changes: Any) -> object:
    _, pruned = pooled()
    first, *others = pruned.arch.config[RECORD]
    return [{**first, **changes}, *others]


HOSTILE: list[tuple[Any, str]] = [
    ({"tensor": "no.such.tensor"}, "has no tensor"),
    ({"tensor": "__class__"}, "has no tensor"),
    ({"tensor": ""}, "has no tensor"),
    ({"tensor": 7}, "needs `tensor`"),
    ({"axis": 9}, "none is `9`"),
    ({"axis": -1}, "none is `-1`"),
    ({"axis": True}, "needs `tensor`"),
    ({"kept": []}, "cannot keep"),
    ({"kept": [0, 1 << 39]}, "cannot keep"),
    ({"kept": [1 << 80]}, "no whole numbers"),
    ({"kept": [-1, 3]}, "cannot keep"),
    ({"kept": [3, 3]}, "do not rise"),
    ({"kept": [0.5]}, "no whole numbers"),
    ({"kept": "all"}, "needs `tensor`"),
]


@pytest.mark.parametrize(("changes", "said"), HOSTILE, ids=[said for _, said in HOSTILE])
def test_a_hostile_record_is_bad_input(changes: dict[str, Any], said: str) -> None:
    network = build(load(WEIGHTS.read_bytes(), arch=NETS))
    with pytest.raises(BadSurgery, match=said):
        replay(network, altered(**changes))


@pytest.mark.parametrize("record", ["x", 3, {"tensor": "a"}, [3], [None], [[]] * 100_001])
def test_a_record_of_another_kind_is_bad_input(record: object) -> None:
    with pytest.raises(BadSurgery):
        replay(nn.Linear(2, 2), record)


def test_a_record_that_leaves_other_shapes_is_told_with_the_file() -> None:
    _, pruned = pooled()
    fewer = Arch(NETS, {RECORD: pruned.arch.config[RECORD][:-1]})
    data = dump(Artefact(Card((), (), fewer), TorchWeights(pruned.network.state_dict())))
    with pytest.raises(BadInput, match="other shapes"):
        build(load(data, arch=NETS))


MODULE = '''
import torch
from torch import nn

class Two(nn.Module):
    """Two layers of an LSTM, a batch norm, and a reshape that knows its own size."""
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.lstm = nn.LSTM(8, 16, num_layers=2, batch_first=True, bidirectional=kind == "both")
        wide = 32 if kind == "both" else 16
        self.conv = nn.Conv1d(wide, 32, 3)
        self.norm = nn.BatchNorm1d(32)
        self.first = nn.Linear(32, 24)
        self.leave = nn.Linear(24, 3)

    def forward(self, window):
        states, _ = self.lstm(window)
        signal = self.norm(self.conv(states.transpose(1, 2))).relu()
        signal = signal[:, :, -1]
        if self.kind == "fixed":
            signal = signal.reshape(-1, 4, 8).flatten(1)
        if self.kind == "breaks":
            return self.leave(signal.detach().numpy())
        return self.leave(self.first(signal).relu())

def build(kind="plain"):
    return Two(kind)
'''


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "user_pruned.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "user_pruned", raising=False)
    return "user_pruned:build"


def built(name: str, kind: str) -> tuple[nn.Module, Arch]:
    from aitrade_cli.model.network import empty_network

    arch = Arch(name, {"kind": kind})
    return empty_network(arch).eval(), arch


@pytest.mark.parametrize(
    ("kind", "cut"),
    [
        ("plain", {"lstm", "conv", "first"}),
        ("both", {"conv", "first"}),  # two directions are left alone
        ("fixed", {"lstm", "first"}),  # a size in the user's code cannot be followed
    ],
)
def test_what_can_be_cut_is_found(user_module: str, kind: str, cut: set[str]) -> None:
    network, arch = built(user_module, kind)
    pruned = prune_structured(network, arch, 0.5, importance(network, arch, windows()))
    assert {one.name for one in pruned.layers} == cut
    assert all(one.units_after * 2 == one.units_before for one in pruned.layers)
    again = build(load(saved(pruned), arch=f"{user_module}"))
    assert answers(again).equal(answers(pruned.network))


def test_a_forward_that_cannot_be_followed_is_bad_input(user_module: str) -> None:
    network, arch = built(user_module, "breaks")
    with pytest.raises(ForwardNotFollowed, match="cannot be followed"):
        importance(network, arch, windows())
