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


def confirm(tree: Tree, places: Places, asked: str | None = None) -> str:
    """Say yes to the run that waits; its id.

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
        Journal(tree, places, chosen[-1].id).append("confirmed")
    return chosen[-1].id


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


def wait_for_answer(
    tree: Tree,
    places: Places,
    run_id: str,
    *,
    said_yes: Callable[[float], bool],
) -> Answer:
    """Wait until a run is confirmed or undone, whoever does it.

    Args:
        tree: the host.
        places: where its journal lies.
        run_id: the run.
        said_yes: waits so many seconds for a yes of the person in front.
    """
    while True:
        run = read_run(tree, places, run_id)
        if run.confirmed or run.reverted:
            return "confirmed" if run.confirmed else "undone"
        if said_yes(POLL_SECONDS):
            with suppress(NothingWaits):
                confirm(tree, places, run_id)


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
        if run is not None and (run.confirmed or run.reverted):
            return False
        sleep(POLL_SECONDS)
    for _ in range(LOCK_TRIES):
        try:
            with locked(tree, places):
                run = found(tree, places, run_id)
                if run is None or run.confirmed or run.reverted:
                    return False
                undo(run, tree, places)
                return True
        except Busy:
            sleep(POLL_SECONDS)
    return False


def found(tree: Tree, places: Places, run_id: str) -> Run | None:
    try:
        return read_run(tree, places, run_id)
    except NoSuchRun:
        return None


if __name__ == "__main__":
    host = Tree(Path(sys.argv[1]))
    guard(host, places_for(host), sys.argv[2], float(sys.argv[3]))
