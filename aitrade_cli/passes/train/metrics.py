"""Figures of a run in files that others read: JSON lines, and TensorBoard's event files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput, Missing
from aitrade_cli.files import replace
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.run import Run
from aitrade_cli.training.state import Epoch

Say = Callable[[str], None]
METRICS: Final = "metrics.jsonl"
LOGGED_STEPS: Final = 50  # steps between two lines of metrics


class MetricsFile(Callback):
    """One JSON object a line: each epoch with its figures, and every fiftieth step.

    A full disk does not end the run: it is said once, and lines wait in memory for room.
    """

    def __init__(self, path: Path, say: Say = lambda _: None) -> None:
        self.path, self.say = path, say
        self.file: FileIO | None = None
        self.pending = b""
        self.told = False

    def on_start(self, run: Run) -> None:
        """Cut off what an earlier process wrote after the state that this one goes on from.

        Nothing that stays is written again, so a kill or a full disk here loses no line.
        """
        try:
            there = self.path.read_bytes() if self.path.is_file() else b""
            kept = b"".join(line for line in there.splitlines(keepends=True) if stays(line, run))
            if there.startswith(kept):
                if len(kept) < len(there):
                    os.truncate(self.path, len(kept))
            else:
                replace(self.path, kept)
            self.file = FileIO(self.path, "a")
        except OSError as error:
            raise BadInput(f"cannot write `{self.path}`: {error.strerror}") from error

    def write(self, line: Mapping[str, Any]) -> None:
        self.pending += (json.dumps(to_data(line), ensure_ascii=False) + "\n").encode()
        self.flush()

    def flush(self) -> None:
        """Write what waits, as much of it as there is room for."""
        try:
            while self.pending and self.file is not None:
                self.pending = self.pending[self.file.write(self.pending) or 0 :]
        except OSError as error:
            if not self.told:
                self.say(
                    f"`{self.path.name}` was not written: {error.strerror}; training goes on, its"
                    " lines follow once there is room"
                )
            self.told = True

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
        self.flush()
        if self.pending:
            missing = self.pending.count(b"\n")
            self.say(f"`{self.path.name}` lacks its last {missing} lines: there was no room")
        if self.file is not None:
            self.file.close()


def stays(line: bytes, run: Run) -> bool:
    """Whether a line is of the run as it was at the state that it goes on from.

    An epoch's line may be older than the checkpoint that has the epoch in it: after a kill in
    between the epoch is validated again, and its line written again.
    """
    if not line.endswith(b"\n"):
        return False  # cut off by a kill
    try:
        told = json.loads(line)
    except ValueError:
        return False
    if not isinstance(told, dict) or told.get("step", 0) > run.step:
        return False
    return told.get("kind") != "epoch" or told.get("number", 0) <= len(run.epochs)


class TensorBoard(Callback):
    """The same figures as event files; a full disk ends them, not the run.

    Raises:
        Missing: the extra is not installed.
    """

    def __init__(self, folder: Path, say: Say = lambda _: None) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise Missing(
                "event files need the package tensorboard",
                hint="pip install 'aitrade-cli[tensorboard]'",
            ) from error
        self.say, self.broken = say, False
        self.writer = SummaryWriter(str(folder))

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        told = {
            "loss/training": epoch.training_loss,
            "loss/validation": epoch.validation_loss,
            **{f"validation/{name}": value for name, value in epoch.figures.items()},
        }
        for name, value in told.items():
            if value is not None:
                self.attempt(lambda name=name, value=value: self.add(name, value, run.step))

    def add(self, name: str, value: float, step: int) -> None:
        self.writer.add_scalar(name, value, step)

    def on_end(self, run: Run) -> None:
        del run
        self.attempt(self.writer.close)

    def attempt(self, work: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            work()
        except OSError as error:
            self.broken = True
            self.say(f"event files end here: {error.strerror}; training goes on")
