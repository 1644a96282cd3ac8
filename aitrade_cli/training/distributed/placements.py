"""How several processes share one run: rows, gradients, decisions, and whole states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from aitrade_cli.training.distributed.compression import Compression, compress
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.zero import ZeroRedundancyOptimizer
from aitrade_cli.training.placement import copy_of, nothing
from aitrade_cli.training.recipe import Recipe


class DataParallel:
    """Every process has the whole network and learns from its part of each batch.

    Gradients are averaged while they are computed (DDP), so every process takes the same step.

    Args:
        seat: of this process, in a group that it has joined.
        device: where it computes.
        compression: what gradients are sent as.
    """

    features: tuple[str, ...] = ("ddp",)

    def __init__(self, seat: Seat, device: torch.device, compression: Compression = "none") -> None:
        self.rank, self.world, self.device = seat.rank, seat.world, device
        self.compression: Compression = compression
        self.name = f"{seat.world} processes, data parallel"

    def wrap(self, network: nn.Module) -> nn.Module:
        """Start from the weights of process 0, and exchange gradients from now on."""
        on_gpu = self.device.type == "cuda"
        model = DistributedDataParallel(network, device_ids=[self.device] if on_gpu else None)
        compress(model, self.compression)
        return model

    def engage(
        self, model: nn.Module, optimizer: Optimizer, recipe: Recipe
    ) -> tuple[nn.Module, Optimizer, Callable[[], None]]:
        """Both as they are."""
        del recipe
        return model, optimizer, nothing

    def rows(self, window: Int64[Tensor, " n"]) -> Int64[Tensor, " mine"]:
        """Parts that differ by one row at the most."""
        return window.tensor_split(self.world)[self.rank]

    def sync(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Add gradients up at home until the last part."""
        if last or not isinstance(model, DistributedDataParallel):
            return nullcontext()
        return model.no_sync()

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """Gradients are averaged on the way."""
        del model
        loss.backward()

    def clip(self, parameters: Sequence[nn.Parameter], norm: float) -> None:
        """Shorten the gradient, which is whole in every process."""
        nn.utils.clip_grad_norm_(parameters, norm)

    def agree(self, value: bool) -> bool:
        """What process 0 says."""
        said = torch.tensor(float(value))
        dist.broadcast(said, src=0)
        return bool(said)

    def total(self, value: float) -> float:
        """Sum over the processes, in float64."""
        summed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(summed)
        return summed.item()

    def weights(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights, which are whole in every process."""
        return copy_of(network)

    def live_weights(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights in use, which are whole in every process."""
        return dict(network.state_dict())

    def load(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Put weights back."""
        network.load_state_dict(dict(weights))

    def optimizer_state(self, network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
        """The whole state; with ZeRO-1 it is gathered, and process 0 alone has it."""
        del network
        if not isinstance(optimizer, ZeroRedundancyOptimizer):
            return optimizer.state_dict()
        optimizer.consolidate_state_dict(to=0)
        return optimizer.state_dict() if self.rank == 0 else {}

    def load_optimizer(
        self, network: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Put a whole state back; with ZeRO-1 each process keeps its part."""
        del network
        optimizer.load_state_dict(dict(state))
