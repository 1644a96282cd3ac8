"""Several processes that each answer one trial at a time; this one alone keeps the journal."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from optuna.trial import Trial

from aitrade_cli.errors import AitradeError, VerdictNo
from aitrade_cli.search.answers import Answer, Evaluate, OnEpoch, Opens
from aitrade_cli.search.searching import Search

PATIENCE_SECONDS: Final = 5.0  # that a process is given to end by itself


class SearchWorkerDied(VerdictNo):
    """A process of the search ended before its time."""

    default_hint = "the study is kept: the same command goes on"


@dataclass
class Hand:
    """One process and the trial it is at."""

    process: Any  # of a private class of multiprocessing
    pipe: Connection
    trial: Trial | None = None


def search_in_processes(search: Search, opens: Opens, jobs: int) -> None:
    """Answer trials in ``jobs`` processes at once.

    Which proposals come depends on which answers came before, so two searches in parallel are
    alike, but not equal.

    Raises:
        SearchWorkerDied: a process is gone; what it was at is tried again when the search goes on.
    """
    with hands(opens, jobs) as crew:
        for hand in crew:
            give(search, hand)
        while busy := [hand for hand in crew if hand.trial is not None]:
            with search.timed():
                ready = wait([hand.pipe for hand in busy])
            for hand in busy:
                if hand.pipe in ready:
                    hear(search, hand)


def give(search: Search, hand: Hand) -> None:
    """The next proposal, where one is wanted."""
    hand.trial = None
    if proposal := search.ask():
        hand.trial, values = proposal
        hand.pipe.send(values)


def hear(search: Search, hand: Hand) -> None:
    """What a process has to say: how a pass went, or how its trial ended."""
    assert hand.trial is not None  # only busy ones are listened to
    try:
        kind, told = hand.pipe.recv()
    except (EOFError, OSError):
        hand.process.join(PATIENCE_SECONDS)
        search.study.killed(hand.trial)
        raise SearchWorkerDied(
            f"a process of the search ended with exit code `{hand.process.exitcode}`"
        ) from None
    if kind == "epoch":
        hand.pipe.send(search.study.report(hand.trial, *told))
        return
    if kind == "bug":
        raise SearchWorkerDied(f"a trial failed: {told.strip().splitlines()[-1]}", hint=told)
    if kind == "answer":
        search.tell(hand.trial, told)
    else:
        search.fail(hand.trial, told)
    give(search, hand)


def serve(opens: Opens, pipe: Connection) -> None:
    """The life of one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers ^C for all

    def on_epoch(number: int, value: float | None) -> bool:
        pipe.send(("epoch", (number, value)))
        return bool(pipe.recv())

    with suppress(EOFError, OSError):  # the parent is gone, or done
        try:
            evaluate = opens.open()
            while True:
                pipe.send(answer_of(evaluate, pipe.recv(), on_epoch))
        except (EOFError, OSError):
            raise
        except Exception:
            pipe.send(("bug", traceback.format_exc()))


def answer_of(
    evaluate: Evaluate, values: dict[str, Any], on_epoch: OnEpoch
) -> tuple[str, Answer | str]:
    try:
        return "answer", evaluate(values, on_epoch)
    except AitradeError as error:
        return "failed", str(error)


@contextmanager
def hands(opens: Opens, jobs: int) -> Iterator[list[Hand]]:
    """Processes, none of which outlives the `with`."""
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    crew: list[Hand] = []
    try:
        for _ in range(jobs):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(opens, theirs), daemon=True)
            process.start()
            theirs.close()
            crew.append(Hand(process, ours))
        yield crew
    finally:
        for hand in crew:
            hand.pipe.close()
        for hand in crew:
            idle = hand.trial is None
            hand.process.join(PATIENCE_SECONDS if idle else 0.2)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.process.close()
