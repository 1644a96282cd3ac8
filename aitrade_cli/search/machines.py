"""The same over several machines: each trial is answered by an actor of a Ray cluster."""

# Ray is an extra, which a checker need not have.
# pyright: reportMissingImports=false

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from optuna.trial import Trial

from aitrade_cli.errors import AitradeError, Missing, VerdictNo
from aitrade_cli.search.answers import Answer, Evaluate, Opens
from aitrade_cli.search.searching import Search

LOOK_SECONDS: Final = 0.2  # between two looks at how trials stand


class NoRay(Missing):
    """The extra that spreads trials over machines is not installed."""

    default_hint = "pip install 'aitrade-cli[ray]', or use `--jobs` on this machine"


class ActorDied(VerdictNo):
    """A trial failed on another machine in a way that nobody expected."""

    default_hint = "the study is kept: the same command goes on"


class Actor:
    """Answers trials on some machine. Told to stop from outside while it is at one.

    Where a trial stands is looked at now and then, so it may train a pass longer than a trial in
    this process would.
    """

    def __init__(self, opens: Opens) -> None:
        self.opens = opens
        self.evaluate: Evaluate | None = None
        self.lock = threading.Lock()
        self.said: list[tuple[int, float | None]] = []
        self.number = -1
        self.halted: int | None = None

    def here(self) -> bool:
        """Answered once the cluster found a place for this actor; until then nothing is."""
        return True

    def answer(self, number: int, values: dict[str, Any]) -> tuple[str, Answer | str]:
        """Answer the trial of that number; ``failed`` and the reason where it has no answer."""
        self.number, self.said = number, []
        if self.evaluate is None:
            self.evaluate = self.opens.open()  # a machine that lacks the bars ends the search
        try:
            return "answer", self.evaluate(values, self.on_epoch)
        except AitradeError as error:
            return "failed", str(error)

    def on_epoch(self, number: int, value: float | None) -> bool:
        with self.lock:
            self.said.append((number, value))
        return self.halted == self.number

    def heard(self) -> list[tuple[int, float | None]]:
        """Passes since the last time."""
        with self.lock:
            told, self.said = self.said, []
        return told

    def halt(self, number: int) -> None:
        """End that trial after its pass; one that ended by itself meanwhile is none to end."""
        self.halted = number


@dataclass
class Seat:
    """One actor and the trial it is at.

    Attributes:
        came: Ray's promise that the cluster found a place for it; ``here``: it was kept.
    """

    actor: Any  # Ray makes its classes while it runs
    came: Any = field(repr=False)
    here: bool = False
    trial: Trial | None = None
    future: Any = field(default=None, repr=False)


def search_on_ray(search: Search, opens: Opens, jobs: int) -> None:
    """Answer trials on a Ray cluster: the one that runs here or in RAY_ADDRESS, else a new one.

    Each job holds one CPU for as long as the search takes. A cluster with fewer of them leaves
    the others waiting, and whoever waits is asked nothing: Ray would never answer.

    Raises:
        NoRay: Ray is not installed.
        ActorDied: a trial failed in a way that nobody expected.
    """
    with cluster() as ray:
        free = int(ray.available_resources().get("CPU", 0))
        if free < jobs:
            search.say(f"{free} CPUs of the cluster are free: {jobs - free} of {jobs} jobs wait")
        made = ray.remote(num_cpus=1, max_concurrency=2)(Actor)
        actors = [made.remote(opens) for _ in range(jobs)]
        seats = [Seat(actor, actor.here.remote()) for actor in actors]
        while search.wanted or any(seat.trial is not None for seat in seats):
            pending = [seat.future for seat in seats if seat.trial is not None]
            pending += [seat.came for seat in seats if not seat.here]
            with search.timed():
                ready, _ = ray.wait(pending, timeout=LOOK_SECONDS)
            for seat in seats:
                attend(search, seat, ray, ready)


def attend(search: Search, seat: Seat, ray: Any, ready: list[Any]) -> None:  # noqa: ANN401
    """Greet an actor that came, or look how its trial stands.

    Raises:
        ActorDied: something else than an answer came.
    """
    try:
        if not seat.here and seat.came in ready:
            seat.here = ray.get(seat.came)
            give(search, seat)
        elif seat.trial is not None:
            look(search, seat, ray, seat.trial, done=seat.future in ready)
    except ray.exceptions.RayError as error:
        if seat.trial is not None and isinstance(error, ray.exceptions.RayActorError):
            search.study.killed(seat.trial)
        last = str(error).strip().splitlines()[-1]
        raise ActorDied(f"a trial failed: {last}", hint=str(error)) from error


def give(search: Search, seat: Seat) -> None:
    """The next proposal, where one is wanted."""
    seat.trial = None
    if proposal := search.ask():
        seat.trial, values = proposal
        seat.future = seat.actor.answer.remote(seat.trial.number, values)


def look(search: Search, seat: Seat, ray: Any, trial: Trial, *, done: bool) -> None:  # noqa: ANN401
    """Take down how a trial stands, stop it where it is hopeless, and end it where it is done."""
    for number, value in ray.get(seat.actor.heard.remote()):
        if search.study.report(trial, number, value) and not done:
            seat.actor.halt.remote(trial.number)
    if not done:
        return
    kind, told = ray.get(seat.future)
    if kind == "answer":
        search.tell(trial, told)
    else:
        search.fail(trial, told)
    give(search, seat)


@contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected; one that was started here is shut down again.

    Raises:
        NoRay: it is not installed.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise NoRay("`--ray` needs Ray, which is not installed") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
