"""Set single weights to zero. The tensors keep their shape, so a CPU gains nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from aitrade_cli.errors import BadInput


class BadSparsity(BadInput):
    """A sparsity or pattern that no weight can have."""


@dataclass(frozen=True, slots=True)
class LayerZeros:
    """Zeros in one weight."""

    name: str
    weights: int
    zeros: int


def weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """Matrices and kernels. Biases and norms are few and matter much, so they are left alone."""
    return {
        name: value
        for name, value in network.named_parameters()
        if value.dim() >= 2 and value.is_floating_point()
    }


def smallest(weight: Float[Tensor, ...], sparsity: float) -> Bool[Tensor, ...]:
    r"""Mark the $\lfloor s\,n \rfloor$ entries smallest in $|w|$; ties go to the earlier one.

    Raises:
        BadSparsity: ``sparsity`` is outside [0, 1), or the weight holds a NaN.

    Source:
        Han et al. 2015, section 3. https://arxiv.org/abs/1506.02626
    """
    check_sparsity(sparsity)
    if weight.isnan().any():
        raise BadSparsity("a weight holds a NaN")
    count = int(sparsity * weight.numel() + 1e-9)
    if count == 0:
        return torch.zeros_like(weight, dtype=torch.bool)
    magnitude = weight.detach().abs().flatten()
    # Selected, not sorted: a schedule asks for this while a network trains.
    limit = magnitude.kthvalue(count).values
    marked = magnitude < limit
    tied = (magnitude == limit).nonzero().flatten()
    marked[tied[: count - int(marked.sum())]] = True
    return marked.view_as(weight)


def masks_of(network: nn.Module, sparsity: float, *, per_layer: bool) -> dict[str, Tensor]:
    """What to set to zero in each weight.

    Args:
        network: looked at, not changed.
        sparsity: share of all weights that will be zero, in [0, 1).
        per_layer: that share of each layer; else the smallest of the whole network, each
            counted as it is.

    Raises:
        BadSparsity: ``sparsity`` is outside [0, 1), or a weight holds a NaN.
    """
    weights = weights_of(network)
    if per_layer:
        return {name: smallest(value, sparsity) for name, value in weights.items()}
    if not weights:
        return {}
    flat = torch.cat([value.detach().flatten() for value in weights.values()])
    parts = smallest(flat, sparsity).split([value.numel() for value in weights.values()])
    return {
        name: part.view_as(value)
        for part, (name, value) in zip(parts, weights.items(), strict=True)
    }


def pattern_masks(network: nn.Module, keep: int, of: int) -> dict[str, Tensor]:
    """Mark all but the ``keep`` largest of each ``of`` neighbours along the inputs of a weight.

    A kernel's inputs are its channels and places, one after the other. A weight whose inputs do
    not divide by ``of`` is left as it is.

    Raises:
        BadSparsity: the pattern is not 0 < keep < of.

    Source:
        Mishra et al. 2021, section 3. https://arxiv.org/abs/2104.08378
    """
    if not 0 < keep < of:
        raise BadSparsity(f"`{keep}:{of}` is no pattern: it must keep some of each group, not all")
    masks = {}
    for name, value in weights_of(network).items():
        rows = value.detach().abs().flatten(1)
        if rows.shape[1] % of:
            continue
        groups = rows.reshape(-1, of)
        lowest = groups.argsort(dim=1, stable=True)[:, : of - keep]
        marked = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, lowest, True)
        masks[name] = marked.view_as(value)
    return masks


def apply(network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the marked weights to zero, in place."""
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            # Not a product: infinity times zero is NaN.
            weights[name].masked_fill_(mask, 0.0)


def zeros_of(network: nn.Module) -> tuple[LayerZeros, ...]:
    """Zeros that each weight really holds."""
    return tuple(
        LayerZeros(name, value.numel(), int((value == 0).sum()))
        for name, value in weights_of(network).items()
    )


def check_sparsity(sparsity: float) -> None:
    if not 0.0 <= sparsity < 1.0:
        raise BadSparsity(f"the sparsity must be in [0, 1), got `{sparsity}`")
