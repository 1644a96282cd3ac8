"""The same small training done in each way, to see whether it ends alike and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor, nn

from aitrade_cli.training.build import PLAIN, Build
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.distributed.compression import Compression
from aitrade_cli.training.distributed.deepspeed import ZeroTwo
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.placements import DataParallel
from aitrade_cli.training.distributed.sharded import FullyShard
from aitrade_cli.training.distributed.zero import sharded_adamw
from aitrade_cli.training.placement import Alone, Placement
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Hooks, Run, pursue
from aitrade_cli.training.state import State, own_memory

WAYS: Final = (
    "alone",
    "ddp",
    "zero",
    "shard",
    "shard+offload",
    "deepspeed",
    "deepspeed+offload",
    "bf16",
    "fp16",
    "powersgd",
)
CPU: Final = torch.device("cpu")


class Planted:
    """A mean squared error over rows of noise and a smooth function of them.

    Args:
        rows: to learn from; a tenth as many decide which weights are kept.
        width: of a row.
        dtype: float64 shows whether two ways compute the same.
        device: where the rows lie.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device = CPU,
    ) -> None:
        draw = torch.Generator().manual_seed(0)
        self.helper: nn.Module = nn.Identity()
        self.rows = rows
        drawn = torch.randn(rows + rows // 10 + 1, width, generator=draw, dtype=dtype)
        self.inputs = drawn.to(device)
        self.answers = self.inputs[:, :2].sum(dim=1, keepdim=True).sin()

    def __len__(self) -> int:
        return self.rows

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        """Mean squared error."""
        picked = torch.from_numpy(rows)
        return (network(self.inputs[picked]) - self.answers[picked]).square().mean()

    def validation_loss(self, network: nn.Module) -> float:
        """Mean squared error over the rows not learned from."""
        with torch.no_grad():
            found = network(self.inputs[self.rows :])
        return (found - self.answers[self.rows :]).square().mean().item()


class Layers(nn.Module):
    """Equal layers, one after the other."""

    def __init__(self, width: int, depth: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(width, width, dtype=dtype), nn.Tanh()) for _ in range(depth)
            )
            self.head = nn.Linear(width, 1, dtype=dtype)

    def forward(self, rows: Tensor) -> Tensor:
        """One number a row."""
        for layer in self.layers:
            rows = layer(rows)
        return self.head(rows)


@dataclass(slots=True)
class Halfway(Callback):
    """Takes the whole state after one step, and counts what this process keeps of it."""

    step: int
    name: str = "halfway"
    taken: dict[str, Any] = field(default_factory=dict)
    moments: int = 0  # numbers that the optimizer of this process keeps for the weights

    def on_step(self, run: Run) -> None:
        """Every process takes part in gathering."""
        if run.step == self.step:
            self.taken = own_memory(run.live_state().as_dict())
            self.moments = moments_in(run.optimizer)


def moments_in(optimizer: Any) -> int:  # noqa: ANN401 -- ZeRO-1 wraps another one
    inner = getattr(optimizer, "optim", optimizer)
    kept = [value for one in inner.state.values() for value in one.values()]
    local = [value.to_local() if hasattr(value, "to_local") else value for value in kept]
    return sum(value.numel() for value in local if isinstance(value, Tensor))


@dataclass(frozen=True, slots=True)
class End:
    """How one way ended.

    Attributes:
        weights: whole, after the last step.
        losses: of each pass, while learning and after it.
        halfway: the state in the middle, as a checkpoint would keep it.
        moments: numbers that process 0 kept for its optimizer.
    """

    weights: dict[str, Tensor]
    losses: tuple[tuple[float, float], ...]
    halfway: dict[str, Any]
    moments: int


def means_of(way: str, seat: Seat, device: torch.device = CPU) -> tuple[Placement, Build]:
    """Placement and stages of one of ``WAYS``."""
    compressions: Mapping[str, Compression] = {
        "bf16": "bf16", "fp16": "fp16", "powersgd": "powersgd",
    }  # fmt: skip
    match way:
        case "alone":
            return Alone(), PLAIN
        case "shard" | "shard+offload":
            return FullyShard(seat, device, offload="+" in way), PLAIN
        case "deepspeed" | "deepspeed+offload":
            return ZeroTwo(seat, device, offload="+" in way), PLAIN
        case "zero":
            return DataParallel(seat, device), Build(optimizer=sharded_adamw)
    return DataParallel(seat, device, compressions.get(way, "none")), PLAIN


def end_of(
    way: str,
    seat: Seat,
    recipe: Recipe,
    state: dict[str, Any] | None = None,
    device: torch.device = CPU,
    width: int = 6,
    dtype: torch.dtype = torch.float64,
) -> End:
    """Train in one way; ``state`` is of another's middle, to go on from."""
    placement, build = means_of(way, seat, device)
    network, halfway = Layers(width, 3, dtype).to(device), Halfway(step=5)
    fit = pursue(
        network,
        Planted(90, width, dtype, device),
        recipe,
        hooks=Hooks(callbacks=(halfway,)),
        state=State.from_dict(state) if state else None,
        build=build,
        placement=placement,
    )
    losses = tuple((epoch.training_loss, epoch.validation_loss) for epoch in fit.epochs)
    return End(placement.weights(network), losses, halfway.taken, halfway.moments)


def ends(
    seat: Seat, say: Callable[[str], None], ways: Sequence[str], recipe: Recipe
) -> dict[str, End]:
    """The end of each way; work for `launch.spread`."""
    del say
    return {way: end_of(way, seat, recipe, dtype=dtype_of(way)) for way in ways}


def dtype_of(way: str) -> torch.dtype:
    """The widest floats that a way trains: DeepSpeed takes none wider than float32."""
    return torch.float32 if way.startswith("deepspeed") else torch.float64


@dataclass(slots=True)
class Clock(Callback):
    """The moment after each step."""

    name: str = ""
    moments: list[float] = field(default_factory=list)

    def on_step(self, run: Run) -> None:
        """Look at the clock."""
        del run
        self.moments.append(time.perf_counter())


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds a step.

    Attributes:
        alone: in process 0, the others idle.
        beside: the same whole step in every process at once: what the host has to give.
        shared: one step shared out among all.
    """

    alone: float
    beside: float
    shared: float

    @property
    def speedup(self) -> float:
        """Of sharing a step over doing it alone."""
        return self.alone / self.shared


def pace(
    seat: Seat, say: Callable[[str], None], width: int, batch: int, steps: int, rounds: int
) -> list[Pace]:
    """Time a step in three ways in turn; work for `launch.spread`.

    The first step of each is left out: it takes memory that the others use again.
    """
    del say
    objective = Planted(batch * steps, width, torch.float32)
    recipe = Recipe(epochs=1, batch=batch)
    found: list[Pace] = []
    for _ in range(rounds):
        seconds = []
        for placement, idle in (
            (Alone(), True),
            (Alone(), False),
            (DataParallel(seat, CPU), False),
        ):
            clock = Clock()
            dist.barrier()
            if seat.rank == 0 or not idle:
                network, hooks = Layers(width, 3, torch.float32), Hooks(callbacks=(clock,))
                pursue(network, objective, recipe, hooks=hooks, placement=placement)
            dist.barrier()
            moments = clock.moments or [0.0, 0.0]
            seconds.append((moments[-1] - moments[0]) / (len(moments) - 1))
        found.append(Pace(*seconds))
    return found


def apart(one: End, other: End) -> float:
    """The largest difference between two ends' weights and losses."""
    weights = [
        (one.weights[name].cpu() - other.weights[name].cpu()).abs().max() for name in other.weights
    ]
    losses = torch.tensor(one.losses, dtype=torch.float64) - torch.tensor(
        other.losses, dtype=torch.float64
    )
    return max(*(each.item() for each in weights), losses.abs().max().item())
