"""Cut slices out of a network's tensors; write the cuts down; make them again on load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.architectures.transformer import Attention

RECORD: Final = "surgery"  # the key in a factory's config; no factory is called with it
CUTS_MAX: Final = 100_000


class BadSurgery(BadInput):
    """A file's record of what was cut out of a network does not fit that network."""

    default_hint = "rebuild the file from its parent, or pass the factory it was made with"


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One tensor shortened along one axis."""

    tensor: str
    axis: int
    kept: Int64[np.ndarray, " kept"]  # places that stay, rising


def cut(network: nn.Module, cuts: Sequence[Cut]) -> None:
    """Shorten the tensors and the layers' own sizes, in place.

    Raises:
        BadSurgery: a tensor is not there, or a place lies outside of it.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    touched: set[str] = set()
    for one in cuts:
        tensor = tensors.get(one.tensor)
        if tensor is None:
            raise BadSurgery(f"the network has no tensor `{one.tensor[:80]}` to cut")
        check(one, tensor)
        index = torch.from_numpy(one.kept)
        shorter = tensor.detach().index_select(one.axis, index).clone()
        owner, _, leaf = one.tensor.rpartition(".")
        module = network.get_submodule(owner)
        if isinstance(tensor, nn.Parameter):
            setattr(module, leaf, nn.Parameter(shorter, requires_grad=tensor.requires_grad))
        else:
            module.register_buffer(leaf, shorter, leaf not in module._non_persistent_buffers_set)
        tensors[one.tensor] = getattr(module, leaf)
        touched.add(owner)
    for name in touched:
        resize(network.get_submodule(name))
    for layer in network.modules():
        if isinstance(layer, Attention):
            layer.heads = layer.output.in_features // layer.head_size


def check(one: Cut, tensor: torch.Tensor) -> None:
    if not 0 <= one.axis < tensor.dim():
        raise BadSurgery(f"`{one.tensor}` has {tensor.dim()} axes, none is `{one.axis}`")
    length, kept = tensor.shape[one.axis], one.kept
    if not 0 < len(kept) <= length or kept[0] < 0 or kept[-1] >= length:
        raise BadSurgery(f"`{one.tensor}` is {length} long on axis {one.axis}: it cannot keep that")
    if (np.diff(kept) <= 0).any():
        raise BadSurgery(f"the places kept of `{one.tensor}` do not rise")


def resize(layer: nn.Module) -> None:
    """Set the sizes that a layer of torch's keeps beside its tensors from the tensors."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]
    elif isinstance(layer, nn.RNNBase):
        layer.hidden_size = layer.get_parameter("weight_hh_l0").shape[1]
        layer.input_size = layer.get_parameter("weight_ih_l0").shape[1]
        layer.flatten_parameters()
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        if layer.running_mean is not None:
            layer.num_features = len(layer.running_mean)
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = len(layer.weight)


def as_record(cuts: Sequence[Cut]) -> list[dict[str, Any]]:
    """The cuts as plain data, for an architecture's config."""
    return [{"tensor": one.tensor, "axis": one.axis, "kept": one.kept.tolist()} for one in cuts]


def replay(network: nn.Module, record: object) -> nn.Module:
    """Make the cuts that a file records in a fresh network, before its weights come in.

    Raises:
        BadSurgery: the record is no list of cuts, or does not fit the network.
    """
    if not isinstance(record, list) or len(record) > CUTS_MAX:
        raise BadSurgery("the record of cuts is no list of a sensible length")
    cut(network, [read_cut(one) for one in record])
    return network


def read_cut(value: object) -> Cut:
    if not isinstance(value, Mapping):
        raise BadSurgery(f"a cut is a {type(value).__name__}, wanted a table")
    tensor, axis, kept = value.get("tensor"), value.get("axis"), value.get("kept")
    if not isinstance(tensor, str) or type(axis) is not int or not isinstance(kept, list):
        raise BadSurgery("a cut needs `tensor`, `axis` and `kept`")
    if not all(type(place) is int and abs(place) < 1 << 40 for place in kept):
        raise BadSurgery(f"the places kept of `{tensor[:80]}` are no whole numbers")
    return Cut(tensor, axis, np.asarray(kept, dtype=np.int64))
