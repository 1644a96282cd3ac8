"""What each unit is worth to the model's answers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.model.card import Arch
from aitrade_cli.model.pruning.allocation import Ranked
from aitrade_cli.model.pruning.graph import find_groups
from aitrade_cli.model.pruning.groups import Group, Member, Untouched
from aitrade_cli.model.pruning.residual import Stream, stream_of
from aitrade_cli.model.pruning.verify import broken

Basis = Literal["taylor", "magnitude"]
BATCH: Final = 32
NOISE_WINDOWS: Final = 64
NOISE_STEPS: Final = 16  # for a network whose window length is free and unknown


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Everything that `prune_structured` needs to know of a network.

    Attributes:
        basis: ``taylor`` from real windows, ``magnitude`` without any.
        ranked: groups that can be cut, each unit scored.
        untouched: layers that cannot, with reasons.
        stream: for the transformer, the directions in which its residual stream moves.
        windows: a few inputs, to check a cut network with.
    """

    basis: Basis
    ranked: tuple[Ranked, ...]
    untouched: tuple[Untouched, ...]
    stream: Stream | None
    windows: Float[Tensor, "batch time feature"]


def importance(
    network: nn.Module,
    arch: Arch,
    windows: Float[np.ndarray, "n time feature"] | None,
    targets: Int64[np.ndarray, " n"] | None = None,
    *,
    shape: tuple[int, int] | None = None,
) -> Scores:
    r"""Score every unit by how much the loss would change without it.

    A unit's score is $\sum_i |w_i\, \partial L/\partial w_i|$ over all weights that belong to it,
    summed over batches of calibration windows: the first-order Taylor estimate. Without windows
    it is $\sum_i w_i^2$ scaled by the tensor, which knows nothing of the data.

    Args:
        network: looked at, not changed.
        arch: what it is.
        windows: real inputs, none of them from the evaluation bars; None where there are none.
        targets: the class of each window; the network's own decisions where not given.
        shape: time steps and features of a window, where there are no windows.

    Raises:
        ForwardNotFollowed: the network's forward cannot be followed.

    Source:
        Molchanov et al. 2019, section 3. https://arxiv.org/abs/1906.10771
    """
    real = windows is not None and len(windows) > 0
    given = tensor_of(windows) if real and windows is not None else noise(arch, shape)
    groups, untouched = find_groups(network, given[:2])
    parts = dict(network.state_dict())
    weighed = taylor(network, given, targets) if real else magnitude(parts)
    ranked: list[Ranked] = []
    for group in groups:
        sound, reason = within(group, parts), ""
        if not any(member.side == "reads" for member in sound.members):
            reason = "these are the network's outputs"
        elif sound.units < 2:
            reason = "it has a single unit"
        else:
            reason = broken(network, sound, given[:4]) or ""
        if reason:
            untouched.append(Untouched(group.name, reason))
        else:
            ranked.append(rank(sound, weighed))
    stream = stream_of(network, arch, given if real else None)
    if stream is not None:
        untouched = [one for one in untouched if "normalizes" not in one.reason]
    basis: Basis = "taylor" if real else "magnitude"
    return Scores(basis, tuple(ranked), tuple(untouched), stream, given[:4])


def noise(arch: Arch, shape: tuple[int, int] | None) -> Float[Tensor, "n time feature"]:
    """Normal windows, for following a network that came without any real ones."""
    time, features = shape or (
        int(arch.config.get("window", NOISE_STEPS)),
        int(arch.config["features"]),
    )
    draw = torch.Generator().manual_seed(0)
    return torch.randn(NOISE_WINDOWS, time, features, generator=draw)


def tensor_of(windows: Float[np.ndarray, "n time feature"]) -> Float[Tensor, "n time feature"]:
    return torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))


def within(group: Group, parts: Mapping[str, Tensor]) -> Group:
    """The group without the slices of an axis of length one, which fits any number of units."""
    members = [
        member
        for member in group.members
        if member.tensor not in parts
        or parts[member.tensor].shape[member.axis] > 1
        or int(member.places.max()) == 0
    ]
    return Group(group.name, group.units, tuple(members), group.whole)


def taylor(
    network: nn.Module,
    windows: Float[Tensor, "n time feature"],
    targets: Int64[np.ndarray, " n"] | None,
) -> dict[str, Float64[np.ndarray, ...]]:
    """``|w * grad|`` of every weight, summed over batches."""
    model = copy.deepcopy(network).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    totals = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for start in range(0, len(windows), BATCH):
        part = slice(start, start + BATCH)
        model.zero_grad()
        loss_of(model(windows[part]), None if targets is None else targets[part]).backward()
        for name, value in model.named_parameters():
            if value.grad is not None:
                totals[name] += (value.detach() * value.grad).abs()
    return {name: total.double().numpy() for name, total in totals.items()}


def loss_of(outputs: Float[Tensor, "n out"], targets: Int64[np.ndarray, " n"] | None) -> Tensor:
    """Cross-entropy to the targets or to the model's own decisions; energy of a single output."""
    if outputs.shape[1] == 1:
        return outputs.square().mean()
    wanted = outputs.detach().argmax(dim=1) if targets is None else torch.from_numpy(targets)
    return functional.cross_entropy(outputs, wanted)


def magnitude(parts: Mapping[str, Tensor]) -> dict[str, Float64[np.ndarray, ...]]:
    """``w^2`` of every weight over the mean of its tensor, so that tensors can be compared."""
    weighed = {}
    for name, value in parts.items():
        if value.is_floating_point():
            square = value.detach().double().square()
            weighed[name] = (square / square.mean().clamp_min(1e-30)).numpy()
    return weighed


def rank(group: Group, weighed: Mapping[str, Float64[np.ndarray, ...]]) -> Ranked:
    score = np.zeros(group.units)
    elements = 0
    for member in group.members:
        values = weighed.get(member.tensor)
        if values is None:
            continue  # a buffer of a norm moves with its units and says nothing of them
        score += of_units(member, values)
        elements += values.size // values.shape[member.axis] * member.places.shape[1]
    return Ranked(group, score, elements)


def of_units(member: Member, values: Float64[np.ndarray, ...]) -> Float64[np.ndarray, " unit"]:
    """Sum the values that each unit owns in one tensor."""
    other = tuple(axis for axis in range(values.ndim) if axis != member.axis)
    return values.sum(axis=other)[member.places].sum(axis=1)


def names_of(ranked: Sequence[Ranked]) -> tuple[str, ...]:
    """Names of the groups that can be cut."""
    return tuple(one.group.name for one in ranked)
