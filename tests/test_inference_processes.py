"""Workers as real processes: what they answer, how they die, and that they always end."""

from __future__ import annotations

import os
import sys
import time

import pytest

from aitrade_cli.inference.processes import (
    VariantFailed,
    VariantRefused,
    Worker,
    ending,
    environment,
)

ECHO = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"cpu_seconds": 0.25, "said": json.loads(line)}), flush=True)
"""


def worker(code: str) -> Worker:
    return Worker("lstm int8", command=(sys.executable, "-S", "-c", code))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_answers_in_the_order_it_was_asked() -> None:
    with worker(ECHO) as echo:
        echo.send({"do": 1})
        echo.send({"do": 2})
        assert echo.receive(seconds=30.0)["said"] == {"do": 1}
        assert echo.receive(seconds=30.0)["said"] == {"do": 2}
        assert echo.ask({"do": 3}, seconds=30.0)["said"] == {"do": 3}
        assert echo.cpu_seconds == 0.25


def test_an_answer_longer_than_the_pipe_arrives_whole() -> None:
    code = "import json; input(); print(json.dumps({'ns': list(range(300_000))}), flush=True)"
    with worker(code) as long:
        assert len(long.ask({"do": "run"}, seconds=30.0)["ns"]) == 300_000


def test_a_dead_worker_is_named_with_its_last_words() -> None:
    words = "warming up\\nno kernel for Gru\\n"
    code = f"import sys; input(); print('{words}', file=sys.stderr); sys.exit(3)"
    with worker(code) as dying, pytest.raises(VariantFailed) as caught:
        dying.ask({"do": "open"}, seconds=30.0)
    message = str(caught.value)
    assert message == "`lstm int8`: its process ended with code 3: no kernel for Gru"
    assert caught.value.exit_code == 5


def test_a_killed_worker_says_by_which_signal() -> None:
    code = "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)"
    with worker(code) as dying, pytest.raises(VariantFailed, match="killed by SIGSEGV"):
        dying.ask({"do": "run"}, seconds=30.0)


def test_a_worker_that_died_before_it_was_asked_is_an_error_too() -> None:
    with worker("raise SystemExit(1)") as dead, pytest.raises(VariantFailed, match="code 1"):
        dead.ask({"do": "open"}, seconds=30.0)


def test_a_hanging_worker_is_given_up_and_ended() -> None:
    with worker("input(); import time; time.sleep(600)") as hanging:
        pid = hanging._process.pid
        with pytest.raises(VariantFailed, match="no answer within 0 s"):
            hanging.ask({"do": "run"}, seconds=0.2)
        assert not alive(pid)


def test_an_error_in_the_worker_arrives_with_its_hint() -> None:
    code = (
        "import json; input(); print(json.dumps("
        "{'error': 'openvino is not here', 'exit_code': 5, 'hint': 'pip install it'}))"
    )
    with worker(code) as failing, pytest.raises(VariantFailed) as caught:
        failing.ask({"do": "open"}, seconds=30.0)
    assert caught.value.reason == "openvino is not here"
    assert caught.value.hint == "pip install it"


def test_input_that_a_variant_does_not_take_ends_with_the_code_for_input() -> None:
    code = (
        "import json; input(); print(json.dumps("
        "{'error': 'no such shape', 'exit_code': 4, 'hint': ''}))"
    )
    with worker(code) as failing, pytest.raises(VariantRefused) as caught:
        failing.ask({"do": "run"}, seconds=30.0)
    told = caught.value.while_doing("at batch 8")
    assert (told.exit_code, str(told)) == (4, "`lstm int8`: at batch 8: no such shape")


def test_an_interrupt_ends_the_worker_and_what_it_started() -> None:
    code = (
        "import json, subprocess, sys, time; input();"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']);"
        "print(json.dumps({'child': child.pid}), flush=True); time.sleep(600)"
    )
    pids: list[int] = []

    def interrupted() -> None:
        with worker(code) as parent:
            pids.extend((parent._process.pid, parent.ask({}, seconds=30.0)["child"]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not alive(pids[0])
    deadline = time.monotonic() + 10  # init reaps the grandchild when it gets to it
    while alive(pids[1]) and zombie_or_gone(pids[1]) is False and time.monotonic() < deadline:
        time.sleep(0.01)
    assert zombie_or_gone(pids[1])


def zombie_or_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return not alive(pid)


def test_closing_twice_is_harmless() -> None:
    echo = worker(ECHO)
    echo.close()
    echo.close()


def test_a_program_that_is_not_there_is_an_error_of_the_variant() -> None:
    with pytest.raises(VariantFailed, match="cannot start a process"):
        Worker("lstm", command=("/nowhere/python",))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "its process closed the pipe"),
        (3, "its process ended with code 3"),
        (-9, "its process was killed by SIGKILL (out of memory?)"),
    ],
)
def test_an_ending_is_told_in_words(code: int | None, words: str) -> None:
    assert ending(code) == words


def test_the_current_folder_is_never_on_a_workers_path() -> None:
    found = environment(2, {"PYTHONPATH": f"{os.pathsep}/mine{os.pathsep}", "HOME": "/h"})
    assert "" not in found["PYTHONPATH"].split(os.pathsep)
    assert found["PYTHONPATH"].endswith(f"{os.pathsep}/mine")
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["HOME"] == "/h"
