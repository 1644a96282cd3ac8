"""Where the work of a run is done: everything in which many processes differ from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor, nn
from torch.optim import Optimizer

from aitrade_cli.training.recipe import Recipe


@runtime_checkable
class Placement(Protocol):
    """One process' part of a run.

    Attributes:
        name: for reports: ``one process``, ``data parallel``.
        features: its words in `legality.FEATURES`: ``ddp``, ``shard``.
        rank: of this process, from 0; ``world``: how many there are.
    """

    name: str
    features: tuple[str, ...]
    rank: int
    world: int

    def wrap(self, network: nn.Module) -> nn.Module:
        """What the forward pass is called on; the network's own names stay."""
        ...

    def engage(
        self, model: nn.Module, optimizer: Optimizer, recipe: Recipe
    ) -> tuple[nn.Module, Optimizer, Callable[[], None]]:
        """Both, or what drives them in their place from now on; and how to end that."""
        ...

    def rows(self, window: Int64[Tensor, " n"]) -> Int64[Tensor, " mine"]:
        """This process' rows of one step; the processes' rows are a partition of it."""
        ...

    def sync(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around one part of a step; only the last part exchanges gradients."""
        ...

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """Add up the gradient of a loss."""
        ...

    def clip(self, parameters: Sequence[nn.Parameter], norm: float) -> None:
        """Shorten the whole gradient to this length."""
        ...

    def agree(self, value: bool) -> bool:
        """What process 0 says: one that went on alone would wait for ever."""
        ...

    def total(self, value: float) -> float:
        """Sum over all processes."""
        ...

    def weights(self, network: nn.Module) -> dict[str, Tensor]:
        """All weights, whole, in memory of their own; with sharding in process 0 alone."""
        ...

    def live_weights(self, network: nn.Module) -> dict[str, Tensor]:
        """The same, where they are used if they are whole there."""
        ...

    def load(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Put back what `weights` gave."""
        ...

    def optimizer_state(self, network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's state, whole."""
        ...

    def load_optimizer(
        self, network: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Put back what `optimizer_state` gave."""
        ...


class Alone:
    """One process does everything."""

    name = "one process"
    features: tuple[str, ...] = ()
    rank = 0
    world = 1

    def wrap(self, network: nn.Module) -> nn.Module:
        return network

    def engage(
        self, model: nn.Module, optimizer: Optimizer, recipe: Recipe
    ) -> tuple[nn.Module, Optimizer, Callable[[], None]]:
        del recipe
        return model, optimizer, nothing

    def rows(self, window: Int64[Tensor, " n"]) -> Int64[Tensor, " mine"]:
        return window

    def sync(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        del model, last
        return nullcontext()

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        del model
        loss.backward()

    def clip(self, parameters: Sequence[nn.Parameter], norm: float) -> None:
        nn.utils.clip_grad_norm_(parameters, norm)

    def agree(self, value: bool) -> bool:
        return value

    def total(self, value: float) -> float:
        return value

    def weights(self, network: nn.Module) -> dict[str, Tensor]:
        return copy_of(network)

    def live_weights(self, network: nn.Module) -> dict[str, Tensor]:
        return dict(network.state_dict())

    def load(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        network.load_state_dict(dict(weights))

    def optimizer_state(self, network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
        del network
        return optimizer.state_dict()

    def load_optimizer(
        self, network: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]
    ) -> None:
        del network
        optimizer.load_state_dict(dict(state))


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now, in memory of their own."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def nothing() -> None:
    """Nothing was put on that would have to be taken off."""
