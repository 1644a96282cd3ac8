"""What torch-pruning sees instead of a recurrent or attention layer, and the way back.

Its own rule for LSTM cuts the wrong rows, and it has none for GRU. So while dependencies are
followed, such a layer is a linear layer with one output a unit; what that output means in the
real tensors is written down here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from aitrade_cli.model.architectures.transformer import Attention
from aitrade_cli.model.pruning.groups import Member, NoRule

GATES: Final = {nn.LSTM: 4, nn.GRU: 3}  # in torch's order; all of a gate's rows lie together


@dataclass(frozen=True, slots=True)
class Meaning:
    """The real layer behind a linear layer of a stand-in.

    Attributes:
        name: of the real layer.
        makes: members that go with the given outputs.
        reads: members that go with the given inputs.
        whole: outputs are attention heads.
    """

    name: str
    makes: Callable[[Int64[np.ndarray, "unit place"]], list[Member]]
    reads: Callable[[Int64[np.ndarray, "unit place"]], list[Member]]
    whole: bool = False


class StandInRecurrence(nn.Module):
    """One linear layer a recurrent layer; all have the same units, so they are added up."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.batch_first = layer.batch_first
        self.pair = isinstance(layer, nn.LSTM)
        widths = [layer.input_size] + [layer.hidden_size] * layer.num_layers
        self.levels = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, steps: Tensor, _: object = None) -> tuple[Tensor, object]:
        out = self.levels[0](steps)
        for level in list(self.levels)[1:]:
            out = level(out) + out
        last = out[:, -1:].transpose(0, 1) if self.batch_first else out[-1:]
        return out, (last, last) if self.pair else last


class StandInOpaque(nn.Module):
    """For a recurrence whose own units stay: only what it reads can be followed through it."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        directions = 2 if layer.bidirectional else 1
        self.size = layer.proj_size or layer.hidden_size
        self.states = directions * layer.num_layers
        self.batch_first = layer.batch_first
        self.pair = isinstance(layer, nn.LSTM)
        self.level = nn.Linear(layer.input_size, directions * self.size)

    def forward(self, steps: Tensor, _: object = None) -> tuple[Tensor, object]:
        out = self.level(steps)
        last = (out[:, -1] if self.batch_first else out[-1])[:, : self.size]
        every = torch.stack([last] * self.states)
        return out, (every, every) if self.pair else every


class StandInAttention(nn.Module):
    """One output a head."""

    def __init__(self, layer: Attention) -> None:
        super().__init__()
        width = layer.output.out_features
        self.enter = nn.Linear(width, layer.heads)
        self.leave = nn.Linear(layer.heads, width)

    def forward(self, steps: Tensor) -> Tensor:
        return self.leave(self.enter(steps).relu())


def put_in(network: nn.Module) -> Mapping[nn.Module, Meaning]:
    """Replace layers inside ``network`` by stand-ins. Returns what their parts mean."""
    meanings: dict[nn.Module, Meaning] = {}
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.LSTM | nn.GRU) and is_plain(layer):
            recurrence = StandInRecurrence(layer)
            replace(network, name, recurrence)
            gates = GATES[type(layer)]
            for depth, level in enumerate(recurrence.levels):
                meanings[level] = recurrent(name, depth, gates, layer.hidden_size, layer.bias)
        elif isinstance(layer, nn.RNNBase):
            opaque = StandInOpaque(layer)
            replace(network, name, opaque)
            meanings[opaque.level] = only_reading(name, layer.bidirectional)
        elif isinstance(layer, Attention):
            attention = StandInAttention(layer)
            replace(network, name, attention)
            meanings[attention.enter] = entering(name, layer.heads, layer.head_size)
            meanings[attention.leave] = leaving(name, layer.head_size)
    return meanings


def is_plain(layer: nn.RNNBase) -> bool:
    """One direction, no projection: what the rule below is right for."""
    return type(layer) in GATES and not layer.bidirectional and layer.proj_size == 0


def replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, layer)


def recurrent(name: str, depth: int, gates: int, hidden: int, bias: bool) -> Meaning:
    r"""Unit $u$ of $H$ owns row $u + iH$ of each gate $i$, and column $u$ of the recurrence."""

    def makes(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        rows = np.concatenate([units + gate * hidden for gate in range(gates)], axis=1)
        kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if bias else ()))
        members = [Member(f"{name}.{kind}_l{depth}", 0, rows, "makes") for kind in kinds]
        return [*members, Member(f"{name}.weight_hh_l{depth}", 1, units, "reads")]

    def reads(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        return [Member(f"{name}.weight_ih_l{depth}", 1, units, "reads")]

    return Meaning(name, makes, reads)


def only_reading(name: str, bidirectional: bool) -> Meaning:
    kinds = ["weight_ih_l0", *(["weight_ih_l0_reverse"] if bidirectional else [])]

    def makes(_: Int64[np.ndarray, "unit place"]) -> list[Member]:
        raise NoRule(f"no rule is known for `{name}`: two directions, a projection or plain tanh")

    def reads(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        return [Member(f"{name}.{kind}", 1, units, "reads") for kind in kinds]

    return Meaning(name, makes, reads)


def entering(name: str, heads: int, size: int) -> Meaning:
    """A head owns ``size`` rows each of query, key and value."""

    def makes(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        one = spread(units, size)
        rows = np.concatenate([one + part * heads * size for part in range(3)], axis=1)
        return [
            Member(f"{name}.query_key_value.{kind}", 0, rows, "makes")
            for kind in ("weight", "bias")
        ]

    def reads(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        return [Member(f"{name}.query_key_value.weight", 1, units, "reads")]

    return Meaning(name, makes, reads, whole=True)


def leaving(name: str, size: int) -> Meaning:
    def makes(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        return [Member(f"{name}.output.{kind}", 0, units, "makes") for kind in ("weight", "bias")]

    def reads(units: Int64[np.ndarray, "unit place"]) -> list[Member]:
        return [Member(f"{name}.output.weight", 1, spread(units, size), "reads")]

    return Meaning(name, makes, reads)


def spread(
    units: Int64[np.ndarray, "unit place"], size: int
) -> Int64[np.ndarray, "unit wide_place"]:
    """Each place becomes ``size`` neighbouring ones."""
    wide = units[:, :, None] * size + np.arange(size)
    return wide.reshape(len(units), -1)
