"""The processes of HOGWILD: what each of them does, and how this one sees that one has died."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType
from typing import Any, Final

import torch
import torch.multiprocessing as mp
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor, nn

from aitrade_cli.errors import AitradeError, BadInput, VerdictNo
from aitrade_cli.training.run import Objective

MOST_WORKERS: Final = 256
LOOK_EVERY: Final = 16  # updates between two looks at who is alive
PATIENCE_SECONDS: Final = 0.5  # that a process is given to end by itself


class WorkerDied(VerdictNo):
    """A process that trained the shared network ended before its time."""

    default_hint = "what it learned is lost; its traceback is above"


@dataclass(frozen=True, slots=True)
class HogwildSettings:
    """How a network is trained by processes that do not wait for each other.

    Attributes:
        workers: processes, this one included.
        epochs: passes over the rows, at most.
        batch: rows in an update.
        learning_rate: of plain stochastic gradient descent, at its highest.
        schedule: factor of the learning rate after a share of all updates, in [0, 1].
        clip_norm: of each update's gradient; None leaves it, as sparse gradients need.
        patience: epochs without a better validation loss before stopping.
        seed: of the order of rows, and of dropout.
        alone_seconds: that this process trains before it starts the others, so that the run
            can tell what they add.
    """

    workers: int = 2
    epochs: int = 20
    batch: int = 64
    learning_rate: float = 0.05
    schedule: Callable[[float], float] | None = None
    clip_norm: float | None = 1.0
    patience: int = 5
    seed: int = 0
    alone_seconds: float = 0.4

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise BadInput(f"`{self.workers}` workers: wanted 1 to {MOST_WORKERS}")
        if min(self.epochs, self.batch, self.patience) < 1 or not self.learning_rate > 0:
            raise BadInput("epochs, batch and patience must be at least 1, the rate above 0")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far all processes are, in memory that they share.

    Attributes:
        taken: batches that somebody has begun; the one counter that is locked.
        by_worker: updates made; each process writes its own place only.
        losses: sum of the training losses of those updates, likewise.
        flag: 1 once everybody should end.
    """

    taken: Synchronized[int]
    by_worker: Int64[Tensor, " worker"]
    losses: Float64[Tensor, " worker"]
    flag: UInt8[Tensor, 1]

    @classmethod
    def start(cls, workers: int) -> Progress:
        """Nothing done yet."""
        return cls(
            taken=mp.get_context("spawn").Value("q", 0),
            by_worker=torch.zeros(workers, dtype=torch.int64).share_memory_(),
            losses=torch.zeros(workers, dtype=torch.float64).share_memory_(),
            flag=torch.zeros(1, dtype=torch.uint8).share_memory_(),
        )

    def take(self, most: int) -> int | None:
        """The number of the next batch; None where all are taken or all should end."""
        if self.stopped:
            return None
        with self.taken.get_lock():
            number = self.taken.value
            if number >= most:
                return None
            self.taken.value = number + 1
            return number

    def add(self, worker: int, loss: float) -> None:
        self.losses[worker] += loss
        self.by_worker[worker] += 1

    def stop(self) -> None:
        self.flag.fill_(1)

    @property
    def stopped(self) -> bool:
        return bool(self.flag.item())

    @property
    def updates(self) -> tuple[int, ...]:
        return tuple(self.by_worker.tolist())

    @property
    def done(self) -> int:
        return int(self.by_worker.sum())


@dataclass(frozen=True, slots=True)
class Job:
    """What every process is given."""

    network: nn.Module
    objective: Objective
    settings: HogwildSettings
    progress: Progress

    @property
    def batches(self) -> int:
        """In a pass."""
        return -(-len(self.objective) // self.settings.batch)

    @property
    def total(self) -> int:
        return self.batches * self.settings.epochs


@lru_cache(maxsize=2)
def order_of(rows: int, seed: int, epoch: int) -> Tensor:
    """The same in every process."""
    draw = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(rows, generator=draw)


def rows_of(number: int, rows: int, batch: int, seed: int) -> Int64[Tensor, " n"]:
    """The rows of a batch, counted over all passes; every pass visits each row once."""
    batches = -(-rows // batch)
    start = number % batches * batch
    return order_of(rows, seed, number // batches)[start : start + batch]


def train_share(job: Job, worker: int, after_update: Callable[[], None]) -> None:
    """Take one batch after the other and move the shared weights by each."""
    settings, network = job.settings, job.network
    torch.manual_seed(settings.seed * 1_000_003 + worker)  # of dropout
    trained = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=settings.learning_rate)
    while (number := job.progress.take(job.total)) is not None:
        if settings.schedule is not None:
            factor = settings.schedule(number / job.total)
            optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
        rows = rows_of(number, len(job.objective), settings.batch, settings.seed)
        loss = job.objective.loss(network, rows.numpy())
        optimizer.zero_grad()  # to None: gradients must not be shared as the weights are
        loss.backward()
        if settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(trained, settings.clip_norm)
        optimizer.step()
        job.progress.add(worker, loss.item())
        after_update()


def work(job: Job, worker: int, said: Connection, parent: int) -> None:
    """The life of one process; what goes wrong is told before it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers ^C for all
    torch.set_num_threads(1)
    updates = 0

    def look() -> None:
        nonlocal updates
        updates += 1
        if updates % LOOK_EVERY == 0 and os.getppid() != parent:
            job.progress.stop()  # nobody is left to train for

    try:
        train_share(job, worker, look)
    except Exception as error:
        with suppress(OSError):  # said before anybody stops because of it
            said.send((traceback.format_exc(), error if isinstance(error, AitradeError) else None))
        job.progress.stop()
        raise SystemExit(1) from None


def heard(hears: Connection) -> tuple[str, AitradeError | None]:
    """The traceback of a process that ended, and its error where that is one of ours."""
    try:
        return hears.recv()
    except (EOFError, OSError):  # it was killed before it could say anything
        return "", None


class Crew:
    """The other processes. None of them outlives the `with`.

    Args:
        job: theirs and this process's.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.processes: list[Any] = []  # of a private class
        self.hears: list[Connection] = []

    def __enter__(self) -> Crew:
        return self

    def start(self) -> None:
        """Have the others begin; they are at work some seconds later."""
        spawn = mp.get_context("spawn")  # a fork of a process with threads may hang
        for worker in range(1, self.job.settings.workers):
            hears, says = spawn.Pipe(duplex=False)
            process = spawn.Process(
                target=work, args=(self.job, worker, says, os.getpid()), daemon=True
            )
            process.start()
            says.close()
            self.processes.append(process)
            self.hears.append(hears)

    def wait(self) -> None:
        """Until all have made their last update; who has not even started by then is let go.

        Raises:
            WorkerDied: one of them ended before that.
        """
        for process in self.processes:
            while process.is_alive() and not self.over:
                process.join(0.02)
                self.check()
            process.join(PATIENCE_SECONDS)  # one that fails says so first
        self.check()

    @property
    def over(self) -> bool:
        """Nothing that a process still does can change the weights that are kept."""
        return self.job.progress.stopped or self.job.progress.done >= self.job.total

    def check(self) -> None:
        """Look at the others.

        Raises:
            WorkerDied: one of them is gone.
        """
        for worker, (process, hears) in enumerate(zip(self.processes, self.hears, strict=True), 1):
            trace, error = heard(hears) if hears.poll() else ("", None)
            code = process.exitcode or 0
            if not code and not trace:
                continue
            if error is not None:
                raise error
            how = f"signal {-code}" if code < 0 else "an error"
            last = trace.strip().splitlines()[-1:] or ["it said nothing"]
            raise WorkerDied(
                f"worker {worker} of {len(self.processes) + 1} ended by {how}: {last[0]}",
                hint=trace.strip() or None,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.job.progress.stop()
        for process in self.processes:
            process.join(PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        for hears in self.hears:
            hears.close()
