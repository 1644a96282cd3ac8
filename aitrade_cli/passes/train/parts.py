"""Where optimisations enter a run of `aitrade train`: build, placement, callbacks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import torch

from aitrade_cli.errors import BadInput, Missing
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.passes.train.tuning import Adapters
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.training.build import PLAIN, Build
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.hygiene import Hygiene
from aitrade_cli.training.placement import Alone, Placement
from aitrade_cli.training.run import Run
from aitrade_cli.training.state import Epoch

Say = Callable[[str], None]
METRICS: Final = "metrics.jsonl"
EVERY_S: Final = 2.0  # between two lines of progress
LOGGED_STEPS: Final = 50  # steps between two lines of metrics


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


def placement_of(settings: Settings, seat: Seat | None, device: torch.device) -> Placement:
    """Where the work is done."""
    if seat is None:
        return Alone()
    from aitrade_cli.training.distributed.placements import DataParallel
    from aitrade_cli.training.distributed.sharded import FullyShard

    if settings.values["spread.shard"] == "full":
        return FullyShard(seat, device, offload=settings.values["spread.offload"])
    return DataParallel(seat, device, settings.values["spread.compress_gradients"])


def callbacks_of(
    settings: Settings, name: str, say: Say, seat: Seat | None = None
) -> tuple[Callback, ...]:
    """Who takes part; what writes states comes last. Process 0 alone tells and writes."""
    if seat is not None and seat.rank > 0:
        return (Hygiene(),)
    callbacks: list[Callback] = [Hygiene(), Progress(name, say)]
    if settings.run_dir is not None:
        callbacks.append(MetricsFile(settings.run_dir / METRICS))
        if settings.values["report.tensorboard"]:
            callbacks.append(TensorBoard(settings.run_dir / "tensorboard"))
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


class MetricsFile(Callback):
    """One JSON object a line: each epoch with its figures, and every fiftieth step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[str] | None = None

    def on_start(self, run: Run) -> None:
        kept = [line for line in self.lines() if line.get("step", 0) <= run.step]
        try:
            self.file = self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"cannot write `{self.path}`: {error.strerror}") from error
        for line in kept:
            self.write(line)

    def lines(self) -> list[dict[str, Any]]:
        """What an earlier run wrote; a line that was cut off is left out."""
        found = []
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def write(self, line: Mapping[str, Any]) -> None:
        if self.file is not None:
            self.file.write(json.dumps(to_data(line), ensure_ascii=False) + "\n")
            self.file.flush()

    def on_step(self, run: Run) -> None:
        if run.step % LOGGED_STEPS == 0:
            rate = run.optimizer.param_groups[0]["lr"]
            loss = run.stepper.mean() if run.placement.world == 1 else None
            self.write(
                {"kind": "step", "step": run.step, "training_loss": loss, "learning_rate": rate}
            )

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        self.write({"kind": "epoch", "step": run.step, "skipped": run.skipped, **asdict(epoch)})

    def on_end(self, run: Run) -> None:
        del run
        if self.file is not None:
            self.file.close()


class TensorBoard(Callback):
    """The same figures as event files.

    Raises:
        Missing: the extra is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise Missing(
                "event files need the package tensorboard",
                hint="pip install 'aitrade-cli[tensorboard]'",
            ) from error
        self.writer = SummaryWriter(str(folder))

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        told = {
            "loss/training": epoch.training_loss,
            "loss/validation": epoch.validation_loss,
            **{f"validation/{name}": value for name, value in epoch.figures.items()},
        }
        for name, value in told.items():
            if value is not None:
                self.writer.add_scalar(name, value, run.step)

    def on_end(self, run: Run) -> None:
        del run
        self.writer.close()
