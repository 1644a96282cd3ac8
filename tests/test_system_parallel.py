"""Ordered work over processes: the same results as here, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from aitrade_cli.errors import AitradeError, BadInput, Usage
from aitrade_cli.system.parallel import Blank, WorkerLost, map_ordered, ordered, segment
from aitrade_cli.system.parallel.pool import WorkerTraceback, rebuilt, taken_apart
from tests.shell import ROOT, surroundings

Given = Mapping[str, np.ndarray]


class Odd(BadInput):
    """Made from other words than it keeps, as many errors are."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} is odd", hint="take another")
        self.row = row


def squared(item: int, _: Given) -> int:
    return item * item


def odd_is_wrong(item: int, _: Given) -> int:
    if item % 2:
        raise Odd(item)
    return item


def dies(item: int, _: Given) -> int:
    if item == 3:
        os._exit(7)
    return item


def fill(item: int, arrays: Given) -> float:
    arrays["out"][item] = arrays["source"][item] * 2
    return float(arrays["source"].sum())


def spoil(item: int, arrays: Given) -> None:
    arrays["source"][item] = 0.0


def who(_: int, __: Given) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def segments() -> set[str]:
    folder = Path("/dev/shm")
    return {path.name for path in folder.glob("psm_*")} if folder.is_dir() else set()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    found = map_ordered(squared, range(23), workers=workers, probe=False)
    assert found.results == tuple(item * item for item in range(23))
    assert found.report.way == ("here" if workers == 1 else "processes")
    assert found.report.workers == workers


@pytest.mark.parametrize("probe", [True, False])
def test_arrays_are_read_and_blanks_filled_wherever_it_runs(probe: bool) -> None:
    source = np.arange(8.0)
    before = segments()
    found = map_ordered(
        fill,
        range(8),
        arrays={"source": source},
        blanks={"out": Blank((8,), "<f8")},
        workers=2,
        probe=probe,
    )
    assert found.report.way == ("here" if probe else "processes")
    np.testing.assert_array_equal(found.arrays["out"], source * 2)
    assert found.results == (28.0,) * 8
    assert segments() - before == set()


def test_too_little_shared_memory_is_told_before_a_byte_is_written() -> None:
    if not os.path.isdir("/dev/shm"):
        pytest.skip("shared memory has no folder here")
    found = os.statvfs("/dev/shm")
    too_many = (found.f_blocks + 1) * found.f_frsize
    before = os.listdir("/dev/shm")
    with (
        pytest.raises(segment.TooLittleSharedMemory, match="shared memory"),
        segment.shared({}, {"out": Blank((too_many,), "|u1")}),
    ):
        pass
    assert os.listdir("/dev/shm") == before


def test_what_does_not_fit_into_shared_memory_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segment, "reserve", full)
    source = np.arange(8.0)
    done = map_ordered(
        fill,
        range(8),
        arrays={"source": source},
        blanks={"out": Blank((8,), "<f8")},
        workers=2,
        probe=False,
    )
    assert (done.report.way, done.report.workers) == ("here", 1)
    assert "No space left on device" in done.report.reason
    assert done.arrays["out"].tolist() == (2 * source).tolist()


def test_inputs_cannot_be_written_in_a_worker() -> None:
    before = segments()
    with pytest.raises(ValueError, match="read-only"):
        map_ordered(spoil, range(4), arrays={"source": np.ones(4)}, workers=2, probe=False)
    assert segments() - before == set()


def test_workers_are_other_processes_with_one_thread_each() -> None:
    found = map_ordered(who, range(8), workers=2, probe=False).results
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {"1"}


def test_an_error_arrives_as_it_was_with_its_place_in_the_worker() -> None:
    with pytest.raises(Odd, match="row 1 is odd") as caught:
        map_ordered(odd_is_wrong, range(6), workers=2, probe=False)
    assert (caught.value.row, caught.value.hint) == (1, "take another")
    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert "in odd_is_wrong" in str(caught.value.__cause__)
    assert isinstance(caught.value, AitradeError)


def test_an_error_of_a_class_that_lives_nowhere_is_told_in_words() -> None:
    class Local(Exception):
        pass

    error = rebuilt(taken_apart(Local("gone")))
    assert isinstance(error, RuntimeError)
    assert str(error) == "Local: gone"


def test_a_worker_that_dies_is_told_and_ends_the_others() -> None:
    with pytest.raises(WorkerLost, match="code 7"):
        map_ordered(dies, range(8), workers=2, probe=False)
    wait_until(lambda: workers_of(psutil.Process()) == [])


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Not the server that forks them, nor the tracker of their memory: those end with us."""
    found: list[psutil.Process] = []
    for child in process.children():
        with suppress(psutil.Error):
            found += child.children()
    return found


def test_what_is_small_is_done_here_and_the_report_says_why() -> None:
    found = map_ordered(squared, range(50), workers=2)
    assert found.report.way == "here"
    assert "with 2 processes" in found.report.reason
    assert found.report.serial_seconds_estimated is not None


def test_what_is_large_is_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "STARTS", {"first": 0.0, "again": 0.0})
    monkeypatch.setattr(ordered, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(ordered.Job, "probed", lambda *_: ([], 10.0))
    found = map_ordered(squared, range(10), workers=2)
    assert (found.report.way, found.report.workers) == ("processes", 2)
    assert found.results == tuple(item * item for item in range(10))
    assert found.report.serial_seconds_estimated == 100.0


def test_chunks_hold_every_item_once_and_leave_some_for_everybody() -> None:
    job: ordered.Job[int, Any] = ordered.Job(squared, range(100), {}, {}, 2)
    chunks = job.chunks(0.001)
    assert [item for _, items in chunks for item in items] == list(range(100))
    assert [first for first, _ in chunks] == list(range(0, 100, len(chunks[0][1])))
    assert len(chunks) >= 8
    assert len(job.chunks(100.0)) == 100


def test_nothing_to_do_is_no_error() -> None:
    assert map_ordered(squared, [], workers=4).results == ()


def test_no_worker_is_told() -> None:
    with pytest.raises(Usage, match="`0` workers"):
        map_ordered(squared, [1], workers=0)


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from aitrade_cli.system.parallel import map_ordered

def slow(item, arrays):
    Path(sys.argv[1], f"began-{item}").touch()
    time.sleep(60)

if __name__ == "__main__":
    map_ordered(slow, range(4), arrays={"source": np.ones(1000)}, workers=2, probe=False)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and /dev/shm")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_neither_process_nor_memory_is_left_of_a_run_that_is(
    tmp_path: Path, how: signal.Signals
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    before = segments()
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stderr=subprocess.PIPE,
        env=surroundings(),
        cwd=ROOT,
    ) as run:
        wait_until(lambda: len(list(tmp_path.glob("began-*"))) == 2)
        family = psutil.Process(run.pid).children(recursive=True)
        assert len(workers_of(psutil.Process(run.pid))) == 2
        run.send_signal(how)
        run.wait(timeout=60)
    gone, alive = psutil.wait_procs(family, timeout=60)
    assert (len(gone), alive) == (len(family), [])
    wait_until(lambda: segments() - before == set())


def wait_until(true: Any) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
