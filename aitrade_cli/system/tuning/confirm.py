"""A change that undoes itself unless somebody says yes.

The guard is a process of its own, started before the first write: a lost connection, a
closed terminal or a killed parent does not stop it.

    python -m aitrade_cli.system.tuning.confirm ROOT RUN_ID SECONDS
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from aitrade_cli.errors import Refused
from aitrade_cli.system.tuning.apply import At, CutOff, nothing, write_later
from aitrade_cli.system.tuning.dropins import Places, places_for
from aitrade_cli.system.tuning.journal import (
    Busy,
    Journal,
    NoSuchRun,
    Run,
    locked,
    read_run,
    read_runs,
)
from aitrade_cli.system.tuning.revert import undo
from aitrade_cli.system.tuning.tree import Tree

MODULE: Final = "aitrade_cli.system.tuning.confirm"
POLL_SECONDS: Final = 0.1
LOCK_TRIES: Final = 600
Answer = Literal["confirmed", "undone"]


class NothingWaits(Refused):
    """No run waits for a yes."""

    default_hint = "`aitrade tune-system --history` lists what was done"


def confirm(tree: Tree, places: Places, asked: str | None = None, *, at: At = nothing) -> str:
    """Say yes to the run that waits, and write its files; its id.

    Args:
        tree: the host.
        places: where its journal lies.
        asked: the run's id; else the newest that waits.
        at: called at each step, see `apply.apply_plan`.

    Raises:
        NothingWaits: none does, or it was undone meanwhile.
        Busy: another run is at work.
    """
    if not tree.exists(places.state):
        raise NothingWaits("no run waits for a yes")
    with locked(tree, places):
        waiting = [run for run in read_runs(tree, places) if run.state == "unconfirmed"]
        chosen = [run for run in waiting if asked in {None, run.id}]
        if not chosen:
            raise NothingWaits(
                f"run `{asked}` does not wait" if asked else "no run waits for a yes"
            )
        run = chosen[-1]
        Journal(tree, places, run.id).append("confirmed")
        at("confirmed")
        if not run.ended:
            write_later(run, tree, places, at)
    return run.id


def start_guard(tree: Tree, run_id: str, seconds: float) -> int:
    """Start the process that undoes a run after ``seconds``; its number."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(tree.root), run_id, str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )
    # It outlives us on purpose; Python would warn of that when the object goes.
    process.returncode = 0
    return process.pid


def lives(guard: int) -> bool:
    """Whether the process that `start_guard` started still runs."""
    try:
        return os.waitpid(guard, os.WNOHANG)[0] == 0
    except ChildProcessError:  # seen as ended before
        return False


def wait_for_answer(
    tree: Tree,
    places: Places,
    run_id: str,
    seconds: float,
    *,
    said_yes: Callable[[float], bool],
    guarded: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Wait until a run is confirmed or undone, whoever does it; here where its guard is gone.

    Args:
        tree: the host.
        places: where its journal lies.
        run_id: the run.
        seconds: after which it is undone.
        said_yes: waits so many seconds for a yes of the person in front.
        guarded: whether the guard still runs.
        clock: of ``seconds``.

    Raises:
        CutOff: whoever said yes was killed while it wrote the files.
    """
    deadline = clock() + seconds
    while True:
        run = read_run(tree, places, run_id)
        if run.reverted or run.partly:
            return "undone"
        if run.confirmed and run.ended:
            return "confirmed"
        with suppress(NothingWaits, Busy):
            if run.confirmed:
                with locked(tree, places):  # nobody writes any more
                    if not read_run(tree, places, run_id).ended:
                        raise CutOff(run_id)
            elif said_yes(POLL_SECONDS):
                confirm(tree, places, run_id)
            elif clock() >= deadline and not guarded():
                undo_unless_decided(tree, places, run_id)


def guard(
    tree: Tree,
    places: Places,
    run_id: str,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Undo a run after ``seconds`` unless it was confirmed or undone by then; whether it was."""
    deadline = clock() + seconds
    while clock() < deadline:
        run = found(tree, places, run_id)
        if run is not None and decided(run):
            return False
        sleep(POLL_SECONDS)
    for _ in range(LOCK_TRIES):
        try:
            return undo_unless_decided(tree, places, run_id)
        except Busy:
            sleep(POLL_SECONDS)
    return False


def undo_unless_decided(tree: Tree, places: Places, run_id: str) -> bool:
    """Undo a run that nobody confirmed or undid; whether it was.

    Raises:
        Busy: another run is at work.
    """
    with locked(tree, places):
        run = found(tree, places, run_id)
        if run is None or decided(run):
            return False
        undo(run, tree, places)
        return True


def decided(run: Run) -> bool:
    return run.confirmed or run.reverted or run.partly


def found(tree: Tree, places: Places, run_id: str) -> Run | None:
    try:
        return read_run(tree, places, run_id)
    except NoSuchRun:
        return None


if __name__ == "__main__":
    host = Tree(Path(sys.argv[1]))
    guard(host, places_for(host), sys.argv[2], float(sys.argv[3]))
