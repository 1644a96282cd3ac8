"""Where optimisations enter a run of `aitrade train`: build, placement, callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import nn
from torch.optim import Optimizer

from aitrade_cli.passes.train.metrics import METRICS, MetricsFile, TensorBoard
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.passes.train.tuning import Adapters
from aitrade_cli.training.build import PLAIN, Build, adamw
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.hygiene import Hygiene
from aitrade_cli.training.placement import Alone, Placement
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Run
from aitrade_cli.training.state import Epoch

Say = Callable[[str], None]
EVERY_S: Final = 2.0  # between two lines of progress


def adapters_of(settings: Settings) -> Adapters | None:
    """What puts adapters in, where the recipe has any."""
    return None if settings.lora is None else Adapters(settings.lora, settings.recipe.seed)


def build_of(settings: Settings) -> Build:
    """How the network is made ready."""
    if settings.values["spread.shard"] == "optimizer":
        from aitrade_cli.training.distributed.zero import sharded_adamw

        return Build(optimizer=sharded_adamw)
    adapters = adapters_of(settings)
    return PLAIN if adapters is None else adapters.build()


def build_alone(settings: Settings) -> Build:
    """The same for steps that are only measured: outside of a group nothing is shared out."""
    wild = settings.values["training.hogwild"]
    return replace(build_of(settings), optimizer=descent if wild else adamw)


def descent(parameters: Sequence[nn.Parameter], recipe: Recipe) -> Optimizer:
    """What processes do that do not wait for each other: it keeps no moments."""
    return torch.optim.SGD(parameters, lr=recipe.learning_rate)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the work of a run would be done, told before any process is started.

    Attributes:
        name: as a `Placement` has it.
        features: words in `legality.FEATURES`.
    """

    name: str
    features: frozenset[str] = frozenset()


def place_of(settings: Settings, world: int) -> Place:
    """The place of a run by ``world`` processes."""
    shard, offload = settings.values["spread.shard"], settings.values["spread.offload"]
    group = f"{world} process{'es' * (world > 1)}"
    if shard == "full":
        words = {"shard", "offload"} if offload else {"shard"}
        return Place(f"{group}, fully sharded{', offloaded' if offload else ''}", frozenset(words))
    if shard == "deepspeed":
        words = {"deepspeed", "offload"} if offload else {"deepspeed"}
        return Place(
            f"{group}, DeepSpeed ZeRO-2{', offloaded' if offload else ''}", frozenset(words)
        )
    if shard == "optimizer":
        return Place(f"{group}, data parallel, optimizer shared out", frozenset({"ddp"}))
    if world > 1:
        return Place(f"{group}, data parallel", frozenset({"ddp"}))
    return Place(Alone.name)


def placement_of(settings: Settings, seat: Seat | None, device: torch.device) -> Placement:
    """Where the work is done."""
    if seat is None:
        return Alone()
    from aitrade_cli.training.distributed.deepspeed import ZeroTwo
    from aitrade_cli.training.distributed.placements import DataParallel
    from aitrade_cli.training.distributed.sharded import FullyShard

    shard, offload = settings.values["spread.shard"], settings.values["spread.offload"]
    if shard == "full":
        return FullyShard(seat, device, offload=offload)
    if shard == "deepspeed":
        return ZeroTwo(seat, device, offload=offload)
    return DataParallel(seat, device, settings.values["spread.compress_gradients"])


def callbacks_of(
    settings: Settings, name: str, say: Say, seat: Seat | None = None
) -> tuple[Callback, ...]:
    """Who takes part; what writes states comes last. Process 0 alone tells and writes."""
    if seat is not None and seat.rank > 0:
        return (Hygiene(),)
    callbacks: list[Callback] = [Hygiene(), Progress(name, say)]
    if settings.run_dir is not None:
        callbacks.append(MetricsFile(settings.run_dir / METRICS, say))
        if settings.values["report.tensorboard"]:
            callbacks.append(TensorBoard(settings.run_dir / "tensorboard", say))
    return tuple(callbacks)


class Progress(Callback):
    """One line: where the run is, how it does, when it will be done."""

    def __init__(self, what: str, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.say, self.clock = what, say, clock
        self.began = self.said = clock()
        self.first, self.latest = 0, ""

    def on_start(self, run: Run) -> None:
        self.first, self.began = run.step, self.clock()

    def on_step(self, run: Run) -> None:
        now = self.clock()
        if now - self.said >= EVERY_S:
            self.said = now
            loss = run.stepper.mean() if run.placement.world == 1 else None
            told = "" if loss is None else f", loss {loss:.4f}"
            epoch = f"epoch {len(run.epochs) + 1} of {run.recipe.epochs}"
            self.say(
                f"{self.what}, {epoch}, step {run.step:,} of {run.steps:,}{told}{self.left(run)}"
            )

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        sharpe = epoch.figures.get("sharpe")
        self.latest = "" if sharpe is None else f", Sharpe {sharpe:.2f}"
        self.said = self.clock()
        self.say(
            f"{self.what}, epoch {epoch.number} of {run.recipe.epochs}: loss"
            f" {epoch.training_loss:.4f}, validation {epoch.validation_loss:.4f}{self.latest}"
            f"{self.left(run)}"
        )

    def left(self, run: Run) -> str:
        """Time to the end, where nothing stops it before."""
        taken = run.step - self.first
        if not taken or run.step >= run.steps:
            return ""
        seconds = (self.clock() - self.began) / taken * (run.steps - run.step)
        return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.1f} min left"
