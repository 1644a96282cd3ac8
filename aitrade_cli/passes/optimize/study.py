"""The folder that remembers a search: Optuna's journal, and the graph of every point."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from aitrade_cli import files
from aitrade_cli.passes.optimize.folder import StudyDamaged, check_key, locked
from aitrade_cli.passes.optimize.points import Point
from aitrade_cli.passes.optimize.shapes import MOST, SIZES, STEP, STUDENTS, Kind, Shape

JOURNAL: Final = "journal.log"
GRAPHS: Final = "graphs"
NAME: Final = "shapes"
ETA: Final = 2  # of the successive halving: one in two goes on
MARGIN: Final = 1.0  # in the score: what more training may still win
ENDED: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Study:
    """Trials of shapes, in the order in which they were proposed.

    Proposals follow a plan first and Optuna's tree-structured Parzen estimator after
    it. Each proposal seeds its own sampler, so that a search that was interrupted goes
    on as it would have.

    Args:
        folder: of the study; it exists and is locked by the caller.
        kinds: of network that may be proposed.
        plan: the first proposals.
        seed: of the proposals after them.

    Source:
        Bergstra et al. 2011. Li et al. 2018 (asynchronous successive halving),
        https://arxiv.org/abs/1810.05934
    """

    def __init__(
        self, folder: Path, kinds: Sequence[Kind], plan: Sequence[Shape], seed: int
    ) -> None:
        self.folder = folder
        self._plan = tuple(plan)
        self._kinds = tuple(kinds)
        self._seed = seed
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = self._open()

    def _open(self) -> optuna.Study:
        path = self.folder / JOURNAL
        try:
            with warnings.catch_warnings():
                # The journal is marked experimental; the format of a study is pinned by KEY.
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                storage = JournalStorage(JournalFileBackend(str(path)))
                study = optuna.create_study(
                    study_name=NAME,
                    storage=storage,
                    load_if_exists=True,
                    pruner=optuna.pruners.SuccessiveHalvingPruner(
                        min_resource=1, reduction_factor=ETA
                    ),
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # of its own lines
            raise StudyDamaged(path, str(error)) from error
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # Its process was killed; the shape is proposed again.
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
        return study

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that ended with an answer or were given up."""
        return self._study.get_trials(deepcopy=False, states=ENDED)

    @property
    def answered(self) -> list[FrozenTrial]:
        done = (TrialState.COMPLETE, TrialState.PRUNED)
        return self._study.get_trials(deepcopy=False, states=done)

    def ask(self) -> tuple[Trial, Shape]:
        """The next shape."""
        tried = {Shape.from_params(trial.params) for trial in self.answered}
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:
            left = next((shape for shape in self._plan if shape not in tried), None)
            left = left or self._worth_another_look()
            if left is not None:
                self._study.enqueue_trial(left.as_params())
        self._study.sampler = self._sampler()
        trial = self._study.ask()
        return trial, suggest(trial, self._kinds)

    def _worth_another_look(self) -> Shape | None:
        """The most promising shape that was stopped early and might still be the best.

        Halving compares the first few with hardly anything; once the plan is through there
        is time for what it gave up too soon.
        """
        best = [one.value for one in self.answered if one.value is not None]
        known = [Shape.from_params(one.params) for one in self.answered]
        stopped = [
            (one.intermediate_values[max(one.intermediate_values)], one.number, shape)
            for one, shape in zip(self.answered, known, strict=True)
            if one.state is TrialState.PRUNED
            and one.intermediate_values
            and known.count(shape) == 1
        ]
        promising = [one for one in stopped if best and one[0] < min(best) + MARGIN]
        return min(promising, key=lambda one: one[:2])[2] if promising else None

    def _sampler(self) -> optuna.samplers.BaseSampler:
        turn = len(self._study.get_trials(deepcopy=False))
        with warnings.catch_warnings():
            # `group` is marked experimental; without it conditional parameters are drawn blindly.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=self._seed * 100_003 + turn, n_startup_trials=4, multivariate=True, group=True
            )

    def times_tried(self, shape: Shape) -> int:
        """How often this shape was answered already."""
        return sum(Shape.from_params(one.params) == shape for one in self.answered)

    def is_known(self, shape: Shape) -> bool:
        """Whether another trial of it can tell nothing new: it was finished, or stopped twice."""
        same = [one for one in self.answered if Shape.from_params(one.params) == shape]
        return len(same) > 1 or any(one.state is TrialState.COMPLETE for one in same)

    def keep(self, trial: Trial, score: float, points: Sequence[Point]) -> None:
        """Remember a trial's points and end it."""
        trial.set_user_attr("points", [point.as_data() for point in points])
        self._study.tell(trial, score)

    def give_up(self, trial: Trial, why: str, *, pruned: bool) -> None:
        """End a trial without points."""
        trial.set_user_attr("why", why)
        if pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def points(self) -> tuple[Point, ...]:
        """Every point of every trial whose graph is still there."""
        try:
            found = [
                Point.from_data(data)
                for trial in self.answered
                for data in trial.user_attrs.get("points", [])
            ]
        except TypeError as error:
            raise StudyDamaged(self.folder / JOURNAL, str(error)) from error
        return tuple(point for point in found if self.path_of(point.file).is_file())

    def path_of(self, file: str) -> Path:
        return self.folder / GRAPHS / Path(file).name

    def write_graph(self, data: bytes) -> str:
        """Keep a graph under the name of its content."""
        file = f"{files.sha256(data)[:24]}.bin"
        path = self.path_of(file)
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            files.replace(path, data)
        return file

    def read_graph(self, file: str) -> bytes:
        """The bytes written under that name.

        Raises:
            StudyDamaged: they are gone or are others.
        """
        path = self.path_of(file)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StudyDamaged(path, error.strerror or "unreadable") from error
        if not file.startswith(files.sha256(data)[:24]):
            raise StudyDamaged(path, "its content is not what was written")
        return data


def suggest(trial: Trial, kinds: Sequence[Kind]) -> Shape:
    """Let the trial choose a shape; a proposal that waits decides instead."""
    kind = trial.suggest_categorical("kind", list(kinds))
    if kind == "recent":
        return Shape("recent", forgotten=trial.suggest_float("forgotten", STEP, MOST, step=STEP))
    if kind == "pruned":
        share = trial.suggest_float("share", STEP, MOST, step=STEP)
        if "recent" not in kinds:
            return Shape("pruned", share)
        forgotten = trial.suggest_float("also_forgotten", 0.0, MOST, step=STEP)
        return Shape("pruned", share, forgotten)
    if kind == "student":
        student = trial.suggest_categorical("student", list(STUDENTS))
        size = trial.suggest_float("size", min(SIZES) / 4, max(SIZES), log=True)
        return Shape("student", student=str(student), size=size)
    return Shape("dense")


@contextmanager
def opened(
    folder: Path, key: dict[str, Any], kinds: Sequence[Kind], plan: Sequence[Shape], seed: int
) -> Iterator[Study]:
    """Lock the folder, check that it is of this search, and open it.

    Args:
        folder: made where it is missing; a foreign one is left alone.
        key: what two runs must share to be one search, plain data.
        kinds: of network that may be proposed.
        plan: the first proposals.
        seed: of those after them.

    Raises:
        OtherStudy: the folder remembers another search.
        StudyInUse: another process holds it.
        StudyDamaged: its files cannot be read.
    """
    with locked(folder):
        check_key(folder, key)
        yield Study(folder, kinds, plan, seed)
