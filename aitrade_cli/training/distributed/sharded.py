"""FSDP2: each process keeps its part of every weight, its gradient and its moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.placements import DataParallel


class FullyShard(DataParallel):
    """ZeRO-3 as torch does it: weights are gathered layer by layer, used, and let go.

    Whole states are gathered in the main memory of process 0; the others hold none.

    Args:
        seat: of this process, in a group that it has joined.
        device: where it computes.
        offload: between uses, weights, gradients and moments lie in main memory.
    """

    def __init__(self, seat: Seat, device: torch.device, *, offload: bool = False) -> None:
        super().__init__(seat, device)
        self.features: tuple[str, ...] = ("shard", "offload") if offload else ("shard",)
        self.offload = offload
        self.name = f"{seat.world} processes, fully sharded{', offloaded' if offload else ''}"

    def wrap(self, network: nn.Module) -> nn.Module:
        """Shard in place: first what repeats, then the rest."""
        for tensor in network.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)  # as DDP does, start from process 0's
        on_gpu = self.device.type == "cuda"
        policy = CPUOffloadPolicy(pin_memory=on_gpu) if self.offload else OffloadPolicy()
        mesh = init_device_mesh(self.device.type, (self.world,))
        for layer in layers_of(network):
            fully_shard(layer, mesh=mesh, offload_policy=policy)
        fully_shard(network, mesh=mesh, offload_policy=policy)
        return network

    def sync(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Reduce gradients to shards after the last part only."""
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(last)
        return nullcontext()

    def weights(self, network: nn.Module) -> dict[str, Tensor]:
        """Whole weights in the main memory of process 0; none elsewhere."""
        return self.gathered(network.state_dict())

    def live_weights(self, network: nn.Module) -> dict[str, Tensor]:
        """The same: in use they are never whole."""
        return self.weights(network)

    def load(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Give each process its part of what process 0 has."""
        with torch.no_grad():
            for name, mine in network.state_dict().items():
                mine.copy_(self.part_of(weights.get(name), mine))

    def optimizer_state(self, network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
        """The whole state in the main memory of process 0, numbered as that of one process is."""
        del network
        return self.gathered(optimizer.state_dict())

    def load_optimizer(
        self, network: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Give each process its part of the moments that process 0 has."""
        del network
        weights = [one for group in optimizer.param_groups for one in group["params"]]
        shards = {
            number: {
                name: self.part_of(value, weights[number])
                if isinstance(value, Tensor) and value.shape == weights[number].shape
                else value
                for name, value in moments.items()
            }
            for number, moments in state["state"].items()
        }
        optimizer.load_state_dict({**state, "state": shards})

    def gathered(self, tree: Any) -> Any:  # noqa: ANN401 -- a nest of anything plain
        """Every shard in a nest made whole; all processes take part, process 0 keeps it."""

        def whole(tensor: Tensor) -> Tensor:
            if isinstance(tensor, DTensor):
                tensor = tensor.full_tensor()
            return tensor.detach().to("cpu", copy=True) if self.rank == 0 else torch.empty(0)

        grown = mapped(tree, whole)
        return grown if self.rank == 0 else {}

    def part_of(self, whole: Tensor | None, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            given = torch.empty_like(like) if whole is None else whole.to(like.device).clone()
            torch.distributed.broadcast(given, src=0)
            return given
        mesh = like.device_mesh
        given = torch.empty(like.shape, dtype=like.dtype) if whole is None else whole
        part = distribute_tensor(given.to(mesh.device_type), mesh, like.placements)
        return part.to(like.device) if part.device != like.device else part


def mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(one, change) for key, one in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(one, change) for one in tree)
    return tree


def layers_of(network: nn.Module) -> Sequence[nn.Module]:
    """Parts to gather one at a time: the members of every list of layers that has weights."""
    return [
        layer
        for part in network.modules()
        if isinstance(part, nn.ModuleList)
        for layer in part
        # A recurrent layer's weights lie in one piece for its kernel, which a shard would break.
        if not isinstance(layer, nn.RNNBase) and any(True for _ in layer.parameters())
    ]
