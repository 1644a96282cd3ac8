"""Which slices of which tensors must be cut together, found by running the network once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
import torch_pruning
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.pruning.groups import Group, Member, NoRule, Untouched
from aitrade_cli.model.pruning.stand_ins import Meaning, put_in

NORMS: Final = (nn.LayerNorm, nn.GroupNorm)  # look at all units at once, so none can just go


class ForwardNotFollowed(BadInput):
    """The network's forward cannot be followed."""

    default_hint = "plain layers on one window [batch, time, feature] can be followed"


def find_groups(
    network: nn.Module, windows: Float[Tensor, "batch time feature"]
) -> tuple[list[Group], list[Untouched]]:
    """Follow the units of every linear, convolutional, recurrent and attention layer.

    Args:
        network: looked at, not changed.
        windows: a few, to run it with.

    Returns:
        The groups whose members are all known, and the layers that have none, with reasons.

    Raises:
        ForwardNotFollowed: the forward fails with gradients on, or torch-pruning cannot follow it.

    Source:
        Fang et al. 2023, DepGraph. https://arxiv.org/abs/2301.12900
    """
    proxy = copy.deepcopy(network).eval()
    meanings = put_in(proxy)
    for parameter in proxy.parameters():
        parameter.requires_grad_(True)
    found = follow(proxy, windows)
    names = {module: name for name, module in proxy.named_modules()}
    parameters = {id(parameter): name for name, parameter in proxy.named_parameters()}
    groups, untouched = [], []
    for one in found:
        root = one[0].dep.target.module
        name = meanings[root].name if root in meanings else names[root]
        try:
            members = members_of(one, meanings, names, parameters)
        except NoRule as reason:
            untouched.append(Untouched(name, str(reason)))
            continue
        whole = root in meanings and meanings[root].whole
        groups.append(Group(name, len(one[0].idxs), members, whole))
    return groups, untouched


def follow(proxy: nn.Module, windows: Float[Tensor, "batch time feature"]) -> list[Any]:
    graph = torch_pruning.DependencyGraph()
    try:
        with warnings.catch_warnings():
            # It warns of parameters outside layers and of lazy shapes; both are checked here.
            warnings.simplefilter("ignore")
            graph.build_dependency(proxy, example_inputs=windows, verbose=False)
            return list(graph.get_all_groups())
    except Exception as error:  # the user's forward and the library may raise anything
        told = f"{type(error).__name__}: {error}"[:200]
        raise ForwardNotFollowed(f"the network's forward cannot be followed: {told}") from error


def members_of(
    group: Any,  # noqa: ANN401 -- torch-pruning is untyped
    meanings: Mapping[nn.Module, Meaning],
    names: Mapping[nn.Module, str],
    parameters: Mapping[int, str],
) -> tuple[Member, ...]:
    units = len(group[0].idxs)
    members: list[Member] = []
    for item in group:
        module, handler = item.dep.target.module, item.dep.handler.__name__
        if isinstance(module, nn.Module) and module not in names:
            continue  # an operation without parameters
        places = places_of(item.idxs, item.root_idxs, units)
        if isinstance(module, nn.Parameter):
            axis = item.dep.target.pruning_dim % module.dim()
            members.append(Member(parameters[id(module)], axis, places, "makes"))
        elif module in meanings:
            meaning = meanings[module]
            members += meaning.makes(places) if "out" in handler else meaning.reads(places)
        else:
            members += plain_members(module, names[module], "out" in handler, places)
    return tuple(members)


def places_of(
    places: Sequence[int], roots: Sequence[int], units: int
) -> Int64[np.ndarray, "unit place"]:
    """For each unit, where it lies.

    Raises:
        NoRule: some unit lies in more places than another.
    """
    order = np.argsort(np.asarray(roots), kind="stable")
    counts = np.bincount(np.asarray(roots), minlength=units)
    if len(counts) != units or len(set(counts.tolist())) != 1:
        raise NoRule("its units lie in differently many places")
    return np.asarray(places, dtype=np.int64)[order].reshape(units, -1)


def plain_members(
    layer: nn.Module, name: str, made: bool, places: Int64[np.ndarray, "unit place"]
) -> list[Member]:
    """Members in a layer of torch's own."""
    if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if isinstance(layer, nn.Linear) or layer.groups == 1:
            return affine(layer, name, made, places)
        raise NoRule(f"`{name}` is a grouped convolution")
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        kinds = [kind for kind, value in layer.state_dict().items() if value.dim() == 1]
        return [Member(f"{name}.{kind}", 0, places, "makes") for kind in kinds]
    if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
        return []
    if isinstance(layer, NORMS):
        raise NoRule(f"`{name}` normalizes over all of its units at once")
    if not list(layer.parameters(recurse=False)):
        return []
    raise NoRule(f"no rule is known for `{name}`, a {type(layer).__name__}")


def affine(
    layer: nn.Module, name: str, made: bool, places: Int64[np.ndarray, "unit place"]
) -> list[Member]:
    if not made:
        return [Member(f"{name}.weight", 1, places, "reads")]
    kinds = ["weight"] if layer.bias is None else ["weight", "bias"]
    return [Member(f"{name}.{kind}", 0, places, "makes") for kind in kinds]


def fit_for_tracing(
    windows: Float[np.ndarray, "n time feature"],
) -> Float[Tensor, "n time feature"]:
    """A few windows as a tensor with memory of its own."""
    return torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))
