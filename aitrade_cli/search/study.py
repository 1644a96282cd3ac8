"""The journal of a search: every trial, in a file that a killed process leaves usable."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.search.answers import Answer
from aitrade_cli.search.objectives import Goal
from aitrade_cli.search.proposer import Proposer
from aitrade_cli.search.space import Space

NAME: Final = "search"
KEY: Final = "key"  # attribute of the study: what two runs must share to be one search
WHY: Final = "why"  # attribute of a trial that failed
LOOKS: Final = "looks"  # attribute of a trial: Sharpe ratios that its best pass was taken from
AGAIN: Final = "again"  # attribute of a trial: number of an earlier one with its settings
FOUND: Final = "found"  # attribute of a trial: what was measured for keys that were to be found
CUT_OFF: Final = "cut off"  # the reason of one whose own process was killed: it is tried again
STOPPED: Final = "stopped"  # of one that was at work when the search was: it is tried again
NO_ANSWER_YET: Final = frozenset((CUT_OFF, STOPPED))
MOST_KILLED: Final = 3  # times that one proposal may end its process before it is given up
FIRST_AT_RANDOM: Final = 10
FIRST_UNPRUNED: Final = 5  # trials that run to their end, so that there is a median
ENDED: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class OtherSearch(BadInput):
    """The journal is of a search of something else."""

    default_hint = "name another file with `--study`"


class SearchUnderWay(Refused):
    """Another process writes to the journal now."""

    default_hint = "wait for it, or name another file with `--study`"


class JournalDamaged(BadInput):
    """The journal cannot be read."""

    default_hint = "name another file with `--study`; the damaged one is left as it is"


class Study:
    """Trials of a search, proposed one after the other and remembered at once.

    Proposals are those of a tree-structured Parzen estimator. Each one seeds its own sampler
    by how many came before, and those that were cut off do not count: a search that was killed
    and goes on proposes what it would have proposed. A proposal whose process was killed three
    times is given up, and does count.

    Args:
        path: of the journal; the caller holds it.
        space: what varies.
        goals: one, or several for a front.
        seed: of all proposals.
        first: values that are tried before any other, where the space holds them.
        prune: stop a trial early that is worse than the median of the earlier ones.

    Source:
        Bergstra et al. 2011; several goals: Ozaki et al. 2022.
    """

    def __init__(
        self,
        path: Path,
        space: Space,
        goals: Sequence[Goal],
        *,
        key: Mapping[str, Any],
        seed: int = 0,
        first: Mapping[str, Any] | None = None,
        prune: bool = True,
    ) -> None:
        self.path, self.space, self.goals, self.seed = path, space, tuple(goals), seed
        self.prunes = prune and len(goals) == 1 and goals[0].each_pass
        self._first = None if first is None else space.as_params(first)
        self._varied = IntersectionSearchSpace(include_pruned=True)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = self._open(key)

    def _open(self, key: Mapping[str, Any]) -> optuna.Study:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                storage = JournalStorage(
                    JournalFileBackend(str(self.path), lock_obj=Held(str(self.path)))
                )
                study = optuna.create_study(
                    study_name=NAME,
                    storage=storage,
                    load_if_exists=True,
                    directions=[goal.sense for goal in self.goals],
                    pruner=optuna.pruners.MedianPruner(FIRST_UNPRUNED)
                    if self.prunes
                    else optuna.pruners.NopPruner(),
                )
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise JournalDamaged(f"`{self.path}` cannot be read: {error}") from error
        told = study.user_attrs.get(KEY)
        if told is None:
            study.set_user_attr(KEY, dict(key))
        else:
            refuse_other(self.path, told, key)
        # Nobody else writes here, so the process that ran them is gone. Which of several it died
        # of nobody knows.
        gone = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in gone:
            end(study, trial, why_gone(study, trial) if len(gone) == 1 else STOPPED)
        return study

    @property
    def trials(self) -> list[FrozenTrial]:
        """All that ended by themselves, in the order in which they were proposed."""
        return [one for one in self._all(ENDED) if one.user_attrs.get(WHY) not in NO_ANSWER_YET]

    @property
    def complete(self) -> list[FrozenTrial]:
        """Those with an answer."""
        return self._all((TrialState.COMPLETE,))

    @property
    def proposed(self) -> int:
        """How many proposals there were, those that run now included."""
        begun = self._all((*ENDED, TrialState.RUNNING))
        return sum(one.user_attrs.get(WHY) not in NO_ANSWER_YET for one in begun)

    def _all(self, states: Sequence[TrialState]) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=tuple(states))

    def ask(self) -> tuple[Trial, dict[str, Any]]:
        """The next proposal: a trial to answer, and its values by full names of keys."""
        turn = self.proposed
        if turn == 0 and self._first is not None and not self._all((TrialState.WAITING,)):
            self._study.enqueue_trial(self._first)
        self._study.sampler = Proposer(
            self._varied, (self.seed * 1_000_003 + turn) % 2**32, FIRST_AT_RANDOM
        )
        trial = self._study.ask()
        return trial, self.space.draw(trial)

    def report(self, trial: Trial, epoch: int, value: float | None) -> bool:
        """Note how a trial stands after a pass.

        Returns:
            Whether to stop it.
        """
        if not self.prunes or value is None:
            return False
        trial.report(value, epoch)
        return bool(trial.should_prune())

    def answer(self, trial: Trial, answer: Answer) -> None:
        """End a trial with what it came to."""
        told: dict[str, Any] = {
            "figures": dict(answer.figures),
            "epochs": answer.epochs,
            "of": answer.planned,
        }
        told |= {LOOKS: list(answer.looks)} if answer.looks else {}
        told |= {FOUND: dict(answer.found)} if answer.found else {}
        for name, value in told.items():
            trial.set_user_attr(name, value)
        if answer.refused:
            self.give_up(trial, answer.refused)
        elif answer.pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, list(answer.values))

    def twin_of(self, trial: Trial) -> FrozenTrial | None:
        """The first trial with the same settings that ended: this one would come to the same."""
        mine = trial.params  # a copy each time
        return next((one for one in self.trials if one.params == mine), None)

    def repeat(self, trial: Trial, twin: FrozenTrial) -> None:
        """End a trial as its twin ended: nothing is trained, and nobody looks again."""
        told = {**twin.user_attrs, "epochs": 0, "of": 0, LOOKS: [], AGAIN: twin.number}
        for name, value in told.items():
            trial.set_user_attr(name, value)
        complete = twin.state is TrialState.COMPLETE
        self._study.tell(trial, twin.values if complete else None, state=twin.state)

    def killed(self, trial: Trial) -> None:
        """End a trial whose own process was killed; it is tried again, a few times."""
        self.give_up(trial, why_gone(self._study, trial))

    def let_go(self) -> None:
        """End the trials at hand of a search that stops; they are tried again."""
        for trial in self._all((TrialState.RUNNING,)):
            end(self._study, trial, STOPPED)

    def give_up(self, trial: Trial, why: str) -> None:
        """End a trial that has no answer."""
        trial.set_user_attr(WHY, why)
        self._study.tell(trial, state=TrialState.FAIL)


def end(study: optuna.Study, trial: FrozenTrial, why: str) -> None:
    """End a trial that another call began."""
    study._storage.set_trial_user_attr(trial._trial_id, WHY, why)
    study.tell(trial.number, state=TrialState.FAIL)


def why_gone(study: optuna.Study, trial: Trial | FrozenTrial) -> str:
    """What became of a trial whose process was killed.

    One that takes more memory than there is would be killed each time that the search goes on.
    """
    earlier = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    alike = [one for one in earlier if one.params == trial.params]
    times = 1 + sum(one.user_attrs.get(WHY) == CUT_OFF for one in alike)
    if not trial.params or times < MOST_KILLED:
        return CUT_OFF
    return f"its process was killed {times} times"


class Held(JournalFileOpenLock):
    """No lock of Optuna's: ours is held for the whole search, and a killed process frees it."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def refuse_other(path: Path, told: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    for name in key:
        if told.get(name) != json.loads(json.dumps(key[name])):
            raise OtherSearch(f"`{path}` is the journal of a search with another {name}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a journal, make it where it is missing, and cut off a line that was half written.

    Raises:
        SearchUnderWay: another process holds it.
        BadInput: it cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BadInput(f"cannot keep a study in `{path}`: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SearchUnderWay(f"another search writes to `{path}`") from error
        mend(path)
        yield
    finally:
        os.close(descriptor)


def mend(path: Path) -> None:
    """Drop what follows the last whole line: Optuna would write the next one behind it.

    Raises:
        JournalDamaged: the file is something else.
    """
    with path.open("r+b") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        begins = data[:1]
        if begins not in {b"", b"{"}:
            raise JournalDamaged(f"`{path}` is no journal of a search")
        if whole < len(data):
            file.truncate(whole)
