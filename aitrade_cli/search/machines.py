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
        self.halted = False

    def answer(self, values: dict[str, Any]) -> tuple[str, Answer | str]:
        """Answer one trial; ``failed`` and the reason where it has none."""
        if self.evaluate is None:
            self.evaluate = self.opens.open()
        self.said, self.halted = [], False
        try:
            return "answer", self.evaluate(values, self.on_epoch)
        except AitradeError as error:
            return "failed", str(error)

    def on_epoch(self, number: int, value: float | None) -> bool:
        with self.lock:
            self.said.append((number, value))
        return self.halted

    def heard(self) -> list[tuple[int, float | None]]:
        """Passes since the last time."""
        with self.lock:
            told, self.said = self.said, []
        return told

    def halt(self) -> None:
        """End the trial at hand after its pass."""
        self.halted = True


@dataclass
class Seat:
    """One actor and the trial it is at."""

    actor: Any  # Ray makes its classes while it runs
    trial: Trial | None = None
    future: Any = field(default=None, repr=False)


def search_on_ray(search: Search, opens: Opens, jobs: int) -> None:
    """Answer trials on a Ray cluster: the one that runs here or in RAY_ADDRESS, else a new one.

    Raises:
        NoRay: Ray is not installed.
        ActorDied: a trial failed in a way that nobody expected.
    """
    with cluster() as ray:
        made = ray.remote(num_cpus=1, max_concurrency=2)(Actor)
        seats = [Seat(made.remote(opens)) for _ in range(jobs)]
        for seat in seats:
            give(search, seat)
        while busy := [seat for seat in seats if seat.trial is not None]:
            with search.timed():
                ready, _ = ray.wait([seat.future for seat in busy], timeout=LOOK_SECONDS)
            for seat in busy:
                look(search, seat, ray, done=seat.future in ready)


def give(search: Search, seat: Seat) -> None:
    """The next proposal, where one is wanted."""
    seat.trial = None
    if search.wanted:
        seat.trial, values = search.ask()
        seat.future = seat.actor.answer.remote(values)


def look(search: Search, seat: Seat, ray: Any, *, done: bool) -> None:  # noqa: ANN401
    """Take down how a trial stands, stop it where it is hopeless, and end it where it is done."""
    assert seat.trial is not None  # only busy ones are looked at
    try:
        for number, value in ray.get(seat.actor.heard.remote()):
            if search.study.report(seat.trial, number, value):
                seat.actor.halt.remote()
        if not done:
            return
        kind, told = ray.get(seat.future)
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise ActorDied(f"a trial failed: {last}", hint=str(error)) from error
    if kind == "answer":
        search.tell(seat.trial, told)
    else:
        search.fail(seat.trial, told)
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
