"""Proposals out, answers in, until there are as many as were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import Trial

from aitrade_cli.errors import AitradeError
from aitrade_cli.search.answers import Answer, Evaluate
from aitrade_cli.search.study import Study

Say = Callable[[str], None]


@dataclass
class Search:
    """A search that is under way.

    Attributes:
        study: remembers every trial.
        trials: how many are wanted, those of earlier runs included.
        say: told what is happening.
        evaluating: seconds spent on trials by this process; all else is overhead.
    """

    study: Study
    trials: int
    say: Say = lambda _: None
    evaluating: float = 0.0
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)

    @property
    def left(self) -> int:
        """Trials that may still begin."""
        return max(0, self.trials - self.study.proposed)

    @property
    def wanted(self) -> bool:
        """Whether another one may."""
        return self.left > 0

    def ask(self) -> tuple[Trial, dict[str, Any]] | None:
        """The next trial to answer, and its values; None where no more are wanted.

        Where few settings are left to choose from, proposals come again: what they come to is
        known.
        """
        while self.wanted:
            trial, values = self.study.ask()
            twin = self.study.twin_of(trial)
            if twin is None:
                return trial, values
            self.study.repeat(trial, twin)
            self.say_last(f" has the settings of trial {twin.number}")
        return None

    def tell(self, trial: Trial, answer: Answer) -> None:
        """Take an answer down and say how the search stands."""
        self.study.answer(trial, answer)
        if answer.refused:
            self.say_last(f" has no answer: {answer.refused}")
        elif answer.pruned:
            self.say_last(f": stopped after {answer.epochs} epochs")
        else:
            pairs = zip(self.study.goals, answer.values, strict=True)
            found = ", ".join(f"{goal.figure} {value:.4g}" for goal, value in pairs)
            self.say_last(f": {found}")

    def fail(self, trial: Trial, why: str) -> None:
        self.study.give_up(trial, why)
        self.say_last(f" has no answer: {why}")

    def say_last(self, fate: str) -> None:
        self.say(f"{len(self.study.trials)} of {self.trials} trials; the last{fate}")

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = self.clock()
        try:
            yield
        finally:
            self.evaluating += self.clock() - began


def search_here(search: Search, evaluate: Evaluate) -> None:
    """One trial after the other in this process.

    An interrupt leaves the trial at hand open, for `Study.let_go`: the next run does it again.
    """
    while proposal := search.ask():
        trial, values = proposal

        def on_epoch(number: int, value: float | None, trial: Trial = trial) -> bool:
            return search.study.report(trial, number, value)

        try:
            with search.timed():
                answer = evaluate(values, on_epoch)
        except AitradeError as error:
            search.fail(trial, str(error))
        else:
            search.tell(trial, answer)
