"""Takes part in a run and writes its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.lock import InUse, Lock
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.checkpoints.folder import CheckpointFolder, set_aside, step_of
from aitrade_cli.training.checkpoints.writer import Cost, Writer

if TYPE_CHECKING:
    from aitrade_cli.training.run import Run
    from aitrade_cli.training.state import Epoch

Say = Callable[[str], None]


class RunInUse(Refused):
    """Another process trains in this folder."""

    default_hint = "wait for it, or name another `--run-dir`"


def hold(folder: CheckpointFolder) -> Lock:
    """Take a folder for this process alone, then remove what a killed writer left half-done.

    Raises:
        RunInUse: another process trains in it; nothing of its was touched.
        BadInput: it cannot be made or written.
    """
    lock = lock_of(folder.path, folder.path.parent)
    folder.prepare()
    return lock


def lock_of(path: Path, run_dir: Path) -> Lock:
    """Take a folder for this process alone; it is made where it is missing.

    Args:
        path: where the lock lies.
        run_dir: what the user calls it.

    Raises:
        RunInUse: another process holds it.
        BadInput: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        return Lock(path)
    except InUse:
        raise RunInUse(f"another process trains in `{run_dir}`") from None
    except OSError as error:
        raise BadInput(f"cannot write to `{path}`: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Policy:
    """When checkpoints are written, and what is in them.

    Attributes:
        every_steps: optimizer steps between two; 0 writes them after passes only.
        every_epochs: passes between two; the best pass and the last one are always written.
        keep: newest that stay; the best stays besides.
        weights_only: a third of the size, and no run can go on from it. Where weights are
            averaged it is the average: what was validated, and what the run would keep.
    """

    every_steps: int = 0
    every_epochs: int = 1
    keep: int = 2
    weights_only: bool = False


@dataclass(slots=True)
class Tally:
    """What the checkpoints of a run have cost so far."""

    costs: list[Cost] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


USUAL: Final = Policy()


class Keeper(Callback):
    """Put it last among the callbacks, so that the others' states are those of the same step.

    A disk that is full, or another failure to write, does not end the run: it is said once for
    each checkpoint that is missing, and the one before stays.

    Args:
        folder: where they go.
        key: what makes this run this run; a run with another key refuses to go on from them.
        policy: when and what.
        say: told what the user should know.
        damaged: newer files that were passed over when this run went on; set aside at the start.
        lock: of the folder, where the caller holds it already and gives it free itself.
    """

    name = "checkpoints"

    def __init__(
        self,
        folder: CheckpointFolder,
        key: Mapping[str, Any],
        policy: Policy = USUAL,
        say: Say = lambda _: None,
        damaged: Sequence[Path] = (),
        lock: Lock | None = None,
    ) -> None:
        self.folder, self.key, self.policy, self.say = folder, dict(key), policy, say
        self.damaged = damaged
        self.tally = Tally()
        self.writer = Writer(self.written, self.not_written)
        self.lock, self.lent = lock, lock is not None
        self.due = False
        self.news: SimpleQueue[str] = SimpleQueue()  # from the writing thread

    def on_start(self, run: Run) -> None:
        """Take the folder for this run alone."""
        if run.placement.rank > 0:
            return
        if self.lock is None:
            self.lock = hold(self.folder)
        for path in self.damaged:
            set_aside(path)

    def on_step(self, run: Run) -> None:
        """Save where it is time, unless the last one is still being written: then soon."""
        self.tell()
        if self.policy.every_steps and run.step % self.policy.every_steps == 0:
            self.due = True
        if self.due and not run.placement.agree(self.writer.busy):
            self.save(run, best=False)

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        """Save after the best pass and the last, and after others where it is time."""
        self.tell()
        if epoch.best or run.over:
            self.save(run, best=epoch.best)
        elif epoch.number % self.policy.every_epochs == 0:
            self.due = True
            if not run.placement.agree(self.writer.busy):
                self.save(run, best=False)

    def on_end(self, run: Run) -> None:
        """Finish what is being written and give the folder free."""
        del run
        try:
            self.writer.wait()
        finally:
            self.tell()
            if self.lock is not None and not self.lent:
                self.lock.release()
                self.lock = None

    def save(self, run: Run, *, best: bool) -> None:
        self.due = False
        state = run.live_state().as_dict()  # every process takes part in gathering it
        if run.placement.rank > 0:
            return
        head = {
            "step": run.step,
            "epoch": len(run.epochs),
            "best": best,
            "weights_only": self.policy.weights_only,
            "key": self.key,
        }
        if self.policy.weights_only:
            weights = state["best"] if best else kept_now(run, state)
            state = {"format": state["format"], "weights": weights}
        self.writer.save(self.folder.file(run.step, best=best), state, head)

    def written(self, cost: Cost) -> None:
        self.tally.costs.append(cost)
        self.folder.tidy()

    def not_written(self, path: Path, error: OSError) -> None:
        why = f"the checkpoint of step {step_of(path):,} was not written: {error.strerror}"
        self.tally.failures.append(why)
        whole = self.folder.files()
        last = f"the last whole one is of step {step_of(whole[-1]):,}" if whole else "there is none"
        self.news.put(f"{why}; training goes on, {last}")

    def tell(self) -> None:
        while not self.news.empty():
            self.say(self.news.get())


def kept_now(run: Run, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights that this moment's pass would be judged by."""
    return state["weights"] if run.average is None else run.average.weights
