"""Many at once through `torch.vmap`: gradients of single rows, and networks that differ by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.replay.learning.batch_size import GradientSample, gradient_sample

# Of one row's answer and its target: a number.
RowLoss = Callable[[Tensor, Tensor], Tensor]


class NotVectorized(Refused):
    """Torch has no vectorized form of a layer, so a loop is the only way."""

    default_hint = "use a network without recurrent layers, or go row by row"


def refuse_recurrent(network: nn.Module) -> None:
    """Recurrent layers are fused kernels that `vmap` cannot enter.

    Raises:
        NotVectorized: the network has one.
    """
    found = [name for name, part in network.named_modules() if isinstance(part, nn.RNNBase)]
    if found:
        raise NotVectorized(f"`{found[0]}` is recurrent, and torch has no vectorized form of it")


def plain_attention() -> AbstractContextManager[Any]:
    """Attention as matrix products: the fused kernel has no vectorized form, and is looped over."""
    return sdpa_kernel(SDPBackend.MATH)


def row_gradients(
    network: nn.Module, loss: RowLoss, inputs: Float[Tensor, "n ..."], targets: Tensor
) -> dict[str, Tensor]:
    """The gradient of every single row's loss, all in one pass.

    Args:
        network: left as it is; in evaluation mode where it has dropout, or each row is dropped
            out of alike. Batch norm mixes rows: such a row has no gradient of its own.
        loss: of one row, given the answer to a batch of one and its target.
        inputs: rows.
        targets: one a row.

    Returns:
        For each parameter that is trained, its gradients with the row as first axis.

    Raises:
        NotVectorized: the network has recurrent layers.
    """
    refuse_recurrent(network)
    trained = {
        name: value.detach() for name, value in network.named_parameters() if value.requires_grad
    }
    rest = {name: value.detach() for name, value in network.named_parameters()} | dict(
        network.named_buffers()
    )

    def of_row(weights: dict[str, Tensor], row: Tensor, target: Tensor) -> Tensor:
        said = functional_call(network, {**rest, **weights}, (row.unsqueeze(0),))
        return loss(said, target.unsqueeze(0))

    with plain_attention():
        return vmap(grad(of_row), in_dims=(None, 0, 0), randomness="same")(trained, inputs, targets)


def noise_of(
    network: nn.Module, loss: RowLoss, inputs: Float[Tensor, "n ..."], targets: Tensor
) -> GradientSample:
    """How much gradients of single rows differ: what the best batch size depends on.

    The critical batch is ``variance / square`` rows: far below it, twice the batch halves the
    steps; far above it, it gains nothing.

    Args:
        network: as in `row_gradients`, and so are the others.
        loss: of one row.
        inputs: two rows or more.
        targets: one a row.

    Raises:
        NotVectorized: the network has recurrent layers.
    """
    gradients = row_gradients(network, loss, inputs, targets)
    flat = torch.cat([part.flatten(1) for part in gradients.values()], dim=1)
    return gradient_sample(flat.numpy().astype(np.float64), 1)


@dataclass
class Ensemble:
    """Networks of one architecture, run and trained as one: each layer once for all of them.

    Attributes:
        shape: what a member computes; its own weights are not used.
        weights: of all, the member as first axis; trained in place.
        buffers: likewise.
    """

    shape: nn.Module
    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @classmethod
    def of(cls, members: Sequence[nn.Module]) -> Ensemble:
        """Stack networks; they are left as they are.

        Raises:
            BadInput: there are none, or their weights differ in shape.
            NotVectorized: they have recurrent layers.
        """
        if not members:
            raise BadInput("an ensemble has at least one member")
        refuse_recurrent(members[0])
        try:
            weights, buffers = stack_module_state(list(members))
        except (RuntimeError, ValueError) as error:
            raise BadInput(f"members of an ensemble must be alike: {error}") from error
        return cls(deepcopy(members[0]).to("meta"), weights, buffers)

    def __len__(self) -> int:
        return len(next(iter(self.weights.values())))

    def __call__(self, inputs: Float[Tensor, "n ..."]) -> Float[Tensor, "member n ..."]:
        """Every member's answer to the same rows."""

        def member(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            return functional_call(self.shape, (weights, buffers), (inputs,))

        with plain_attention():
            return vmap(member, randomness="different")(self.weights, self.buffers)

    def parameters(self) -> Iterator[Tensor]:
        """What an optimizer is given: Adam and plain descent treat each member as if alone."""
        return iter(self.weights.values())

    def into(self, members: Sequence[nn.Module]) -> None:
        """Write each member's weights back into a network of its own."""
        for number, network in enumerate(members):
            state = {name: value[number].detach() for name, value in self.weights.items()}
            state |= {name: value[number] for name, value in self.buffers.items()}
            network.load_state_dict(state)
