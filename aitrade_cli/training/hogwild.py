"""HOGWILD: several processes train one network in shared memory, and none waits for another."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.training.hogwild_workers import (
    LOOK_EVERY,
    Crew,
    HogwildSettings,
    Job,
    Progress,
    train_share,
)
from aitrade_cli.training.run import Epoch, Fit, Objective, copy_of


class CannotRunWild(Refused):
    """The network or the recipe has state that processes cannot share without waiting."""

    default_hint = "train without `--hogwild`, or with `--devices`, where processes keep in step"


@dataclass(frozen=True, slots=True)
class HogwildFit:
    """What a run came to. Two runs are alike, but not equal: processes race.

    Attributes:
        fit: its passes; the network holds the weights of the best.
        updates: made by each process.
        wall_seconds: of the whole run, start of the processes included.
        alone_per_second: updates before the others had started, on this process alone.
        together_per_second: updates once all were at work. Either is None where it lasted
            too short a time to tell.
    """

    fit: Fit
    updates: tuple[int, ...]
    wall_seconds: float
    alone_per_second: float | None
    together_per_second: float | None

    @property
    def speedup(self) -> float | None:
        """Updates a second, all together over one alone, both in this run."""
        if self.alone_per_second is None or self.together_per_second is None:
            return None
        return self.together_per_second / self.alone_per_second

    @property
    def verdict(self) -> str:
        """One sentence for a report: whether it was worth it."""
        count = len(self.updates)
        if count == 1:
            return "1 process, nothing to race with"
        if self.speedup is None:
            return f"too short a run to tell whether {count} processes are faster than one"
        told = f"{count} processes made {self.speedup:.2f}x the updates of one alone"
        return told if self.speedup > 1.0 else f"{told}: not faster here, leave `--hogwild` out"


def run_wild(
    network: nn.Module,
    objective: Objective,
    settings: HogwildSettings,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    *,
    enough: Callable[[tuple[int, ...]], bool] = lambda _: False,
    clock: Callable[[], float] = time.perf_counter,
) -> HogwildFit:
    """Train by plain gradient descent, each process updating the shared weights as it goes.

    This process trains too: alone at first, then while the others start, and it validates at
    the end of each pass. Each process uses one thread. Updates may overwrite parts of each
    other; where gradients are sparse that is rare, and where they are small it harms little.

    Args:
        network: trained in place, on the CPU; left in evaluation mode with the best weights.
        objective: the loss and the rows it is taken on. Each process gets a copy, so it must
            be picklable; `shared.SharedLabels` costs none.
        settings: of the run.
        on_epoch: told about each pass as it ends.
        enough: asked now and then, given the updates of each process; the run ends where it
            says yes.
        clock: seconds, rising.

    Raises:
        CannotRunWild: the network has buffers that training writes, or lives on a GPU.
        WorkerDied: a process ended before its time; its traceback is in the message.
        BadInput: no rows, or a loss that is not finite.

    Source:
        Recht, Re, Wright and Niu 2011. https://arxiv.org/abs/1106.5730
    """
    refuse_unsharable(network)
    if not len(objective):
        raise BadInput("nothing to train on: there are no rows")
    network.share_memory()
    network.train()
    job = Job(network, objective, settings, Progress.start(settings.workers))
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(pool_of(1))
        crew = stack.enter_context(Crew(job))
        run = _Wild(job, crew, on_epoch, enough, clock)
        if not settings.alone_seconds:
            run.start_others()
        train_share(job, 0, run.after_update)
        crew.wait()
        run.end_epochs()
    network.load_state_dict(run.best)
    network.eval()
    return run.result()


def refuse_unsharable(network: nn.Module) -> None:
    """Say no to what would be lost or wrong, instead of training it badly.

    Raises:
        CannotRunWild: there are buffers, parts on a GPU, or adapters.
    """
    written = [name for name, _ in network.named_buffers()]
    if written:
        raise CannotRunWild(
            f"`{written[0]}` is a running figure that each process would overwrite with its own"
        )
    devices = {value.device.type for value in network.parameters()} - {"cpu"}
    if devices:
        raise CannotRunWild(f"parameters on `{min(devices)}` cannot be shared in memory")
    if any(hasattr(module, "parametrizations") for module in network.modules()):
        raise CannotRunWild("weights that are computed from others cannot be sent to a process")


class _Wild:
    """What this process does between its own updates."""

    def __init__(
        self,
        job: Job,
        crew: Crew,
        on_epoch: Callable[[Epoch], None],
        enough: Callable[[tuple[int, ...]], bool],
        clock: Callable[[], float],
    ) -> None:
        self.job, self.crew, self.on_epoch, self.clock = job, crew, on_epoch, clock
        self.enough = enough
        self.began = clock()
        self.looks = 0
        self.alone = job.settings.workers > 1
        self.epochs: list[Epoch] = []
        self.counted = (0.0, 0)  # sum of losses and updates, as of the last epoch
        self.best: Mapping[str, Tensor] = copy_of(job.network)
        # Time that validation takes is nobody's update; it is counted to neither rate.
        self.pace = Pace(clock)

    def after_update(self) -> None:
        self.looks += 1
        if self.looks % LOOK_EVERY == 0:
            self.crew.check()
            self.pace.saw(self.job.progress, alone=not self.crew.processes)
            if self.enough(self.job.progress.updates):
                self.job.progress.stop()
        if self.alone and self.clock() - self.began >= self.job.settings.alone_seconds:
            self.start_others()
        while self.job.progress.done >= (len(self.epochs) + 1) * self.job.batches:
            self.end_epoch()
            if self.job.progress.stopped:
                return

    def start_others(self) -> None:
        self.alone = False
        self.crew.start()
        self.pace.pause()

    def end_epoch(self) -> None:
        """Validate the weights as they are now; the others train on meanwhile."""
        number = len(self.epochs) + 1
        kept = copy_of(self.job.network)
        loss = self.job.objective.validation_loss(self.job.network)
        self.job.network.train()
        training_loss = self.mean_loss()
        if not (math.isfinite(loss) and math.isfinite(training_loss)):
            self.job.progress.stop()
            raise BadInput(
                f"the loss of epoch {number} is not finite",
                hint="take a smaller learning rate, or fewer workers",
            )
        best = all(loss < other.validation_loss for other in self.epochs)
        self.epochs.append(Epoch(number, training_loss, loss, best))
        if best:
            self.best = kept
        self.on_epoch(self.epochs[-1])
        waited = number - Fit(tuple(self.epochs)).best.number
        if waited >= self.job.settings.patience:
            self.job.progress.stop()
        self.pace.pause()

    def mean_loss(self) -> float:
        """Of the updates since the last epoch ended."""
        before, updates = self.counted
        self.counted = (float(self.job.progress.losses.sum()), self.job.progress.done)
        return (self.counted[0] - before) / max(1, self.counted[1] - updates)

    def end_epochs(self) -> None:
        """Those whose last update was another process's."""
        while not self.job.progress.stopped and len(self.epochs) < self.job.settings.epochs:
            self.end_epoch()
        if not self.epochs:
            self.end_epoch()

    def result(self) -> HogwildFit:
        return HogwildFit(
            fit=Fit(tuple(self.epochs)),
            updates=self.job.progress.updates,
            wall_seconds=self.clock() - self.began,
            alone_per_second=self.pace.rate("alone"),
            together_per_second=self.pace.rate("together"),
        )


class Pace:
    """Updates a second while this process is alone, and once all are at work.

    The time while the others start counts to neither: it takes a processor from this one.
    """

    LEAST: Final = 0.2  # seconds; less says nothing

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.since: tuple[float, int, str] | None = None
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.updates: Counter[str] = Counter()

    def saw(self, progress: Progress, *, alone: bool) -> None:
        now, done = self.clock(), progress.done
        moment = "alone" if alone else "together" if all(progress.updates) else "starting"
        if self.since is not None and self.since[2] == moment:
            self.seconds[moment] += now - self.since[0]
            self.updates[moment] += done - self.since[1]
        self.since = (now, done, moment)

    def pause(self) -> None:
        self.since = None

    def rate(self, moment: str) -> float | None:
        seconds = self.seconds[moment]
        return self.updates[moment] / seconds if seconds >= self.LEAST else None


__all__ = [
    "CannotRunWild",
    "HogwildFit",
    "HogwildSettings",
    "refuse_unsharable",
    "run_wild",
]
