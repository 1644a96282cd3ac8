"""What profilers wrote is read right, drawn right, and said in words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.system.host import cores_within
from aitrade_cli.system.profiling import evidence
from aitrade_cli.system.profiling.baseline import NotAProfile, read_baseline
from aitrade_cli.system.profiling.flamegraph import flamegraph_page, flamegraph_svg
from aitrade_cli.system.profiling.health import debug_switches, throttling
from aitrade_cli.system.profiling.hooks.containers import Containers
from aitrade_cli.system.profiling.hooks.recorder import is_user_file
from aitrade_cli.system.profiling.parallel import worth_of
from aitrade_cli.system.profiling.readers import line_of_cprofile
from aitrade_cli.system.profiling.sampling import why_not
from aitrade_cli.system.profiling.source import Source
from aitrade_cli.system.profiling.stacks import (
    Frame,
    before_or_after,
    cleaned,
    collapsed,
    lines_of,
    read_speedscope,
)
from tests.profiling_cases import script
from tests.shell import ROOT

SPEEDSCOPE = {
    "shared": {
        "frames": [
            {"name": "process 7", "file": "", "line": 0},
            {"name": "main", "file": "/x/job.py", "line": 3},
            {"name": "sum", "file": "/x/job.py", "line": 9},
            {"name": "_find", "file": "<frozen importlib._bootstrap>", "line": 1},
        ]
    },
    "profiles": [
        {"name": 'Process 7 Thread 7 "MainThread"', "samples": [[0, 1, 2], [0, 1], [0, 1, 3]],
         "weights": [0.5, 0.25, 4.0]},
        {"name": 'Process 8 Thread 8 "MainThread"', "samples": [[0, 1]], "weights": [1.0]},
    ],
}  # fmt: skip


def test_samples_are_added_up_by_line(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(SPEEDSCOPE))
    found = read_speedscope(path, 7)
    assert found.seconds == pytest.approx(4.75)
    assert sum(found.others.values()) == 1.0
    lines = [(one.line, one.seconds, one.own_seconds) for one in lines_of(found.main)]
    assert lines == [(9, 0.5, 0.5), (3, 0.25, 0.25)]  # what imports is no line of its own


def test_a_file_that_is_no_speedscope_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"shared": {}}')
    with pytest.raises(ValueError, match="no speedscope"):
        read_speedscope(path, 7)


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(st.dictionaries(st.tuples(names, names), st.floats(0.01, 10.0), min_size=1, max_size=6))
def test_a_flamegraph_is_well_formed_and_as_wide_as_its_time(
    stacks: dict[tuple[str, ...], float],
) -> None:
    svg = ElementTree.fromstring(flamegraph_svg(stacks, "a <b> & c"))
    boxes = [float(one.get("width", "0")) for one in svg.iter("{http://www.w3.org/2000/svg}rect")
             if one.get("width") != "100%"]  # fmt: skip
    assert max(boxes) == pytest.approx(1200, abs=0.2)
    assert flamegraph_page(stacks, "t").count("<svg") == 1


def test_an_edit_leaves_the_rest_as_it_is() -> None:
    source = Source("a.py", "é = f(1,  # why\n      a=2)\n")
    call = source.calls("f")[0]
    assert source.edited([source.keyword(call, "b", "3")]) == "é = f(1,  # why\n      a=2, b=3)\n"
    assert source.edited([source.keyword(call, "a", "3")]) == "é = f(1,  # why\n      a=3)\n"


def test_imports_go_above_a_decorator_at_the_top_of_a_file() -> None:
    source = Source("a.py", "def f():\n    pass\n")
    function = source.function_at(1)
    assert function is not None
    edits = [source.before(function, "@numba.njit"), source.importing("import numba")]
    assert source.edited(edits).startswith("import numba\n@numba.njit\ndef f")


@pytest.mark.parametrize("text", ["", "{}", '{"command": "profile", "kind": "report"}', "[1]"])
def test_a_file_without_a_profile_is_no_baseline(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.ndjson"
    path.write_text(text)
    with pytest.raises(NotAProfile):
        read_baseline(str(path))


def test_switches_that_are_off_or_harmless_are_not_told() -> None:
    assert debug_switches({"CUDA_LAUNCH_BLOCKING": "0", "NCCL_DEBUG": "WARN"}) == {}
    assert list(debug_switches({"CUDA_LAUNCH_BLOCKING": "1"})) == ["CUDA_LAUNCH_BLOCKING"]


@pytest.mark.parametrize(
    ("group", "folder", "limit"),
    [
        ("0::/job\n", "sys/fs/cgroup/job", {"cpu.max": "50000 100000\n"}),
        (
            "4:cpu,cpuacct:/job\n",
            "sys/fs/cgroup/cpu,cpuacct/job",
            {"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_throttling_is_read_of_our_own_group(
    tmp_path: Path, group: str, folder: str, limit: dict[str, str]
) -> None:
    mine = tmp_path / folder
    mine.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group)
    if group.startswith("0"):
        (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpu\n")
        (tmp_path / "sys/fs/cgroup/cpu.stat").write_text("usage_usec 5\n")  # the root counts none
    for name, text in limit.items():
        (mine / name).write_text(text)
    (mine / "cpu.stat").write_text("usage_usec 5\nnr_periods 100\nnr_throttled 7\n")
    assert throttling(tmp_path) == (100, 7)


def test_without_a_limit_there_is_no_throttling(tmp_path: Path) -> None:
    assert throttling(tmp_path) is None


@pytest.mark.parametrize(
    ("cores", "quota", "worth"), [(2, 1.2, 2), (4, 1.2, 2), (4, 0.5, 1), (2, None, 2), (2, 9.0, 2)]
)
def test_a_quota_is_worth_as_many_threads_here_as_where_the_host_is_tuned(
    monkeypatch: pytest.MonkeyPatch, cores: int, quota: float | None, worth: int
) -> None:
    monkeypatch.setattr(evidence, "quota_cores", lambda: quota)
    monkeypatch.setattr(evidence, "usable_cores", lambda: frozenset(range(cores)))
    assert evidence.cores_here() == cores_within(cores, quota) == worth


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/usr/lib/python3.12/json/decoder.py", False),
        ("/opt/python/lib/python3.13t/threading.py", False),
        ("/usr/lib64/python3.9/csv.py", False),
        ("/opt/lib/pypy3.10/json/decoder.py", False),
        ("/srv/lib/python_tools/train.py", True),
        ("/srv/python3.12/train.py", True),
    ],
)
def test_the_library_of_another_interpreter_is_not_the_users_code(file: str, own: bool) -> None:
    assert is_user_file(file) is own


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Error: Permission Denied: Try running again", "not permitted"),
        ("Error: Failed to find python version from target process", "no Python"),
        ("Error: No such process (os error 3)", "has ended"),
        ("", "no samples"),
    ],
)
def test_the_samplers_complaints_are_put_into_words(said: str, why: str) -> None:
    assert why in why_not(said)


def test_cprofile_names_the_function_and_no_builtin(tmp_path: Path) -> None:
    path = script(tmp_path, "def f(n):\n    return sum(range(n))\n\n\nf(10**6)\n")
    command = [sys.executable, "-m", "cProfile", "-o", str(tmp_path / "c"), str(path)]
    subprocess.run(command, check=True)
    assert line_of_cprofile(tmp_path / "c").place == f"{path}:1"


def test_frames_of_the_watcher_are_not_shown() -> None:
    hooks = str(ROOT / "aitrade_cli/system/profiling/hooks/run.py")
    assert cleaned([Frame(hooks, 1, "main"), Frame("/x/a.py", 2, "f")]) == (
        Frame("/x/a.py", 2, "f"),
    )


def test_what_the_watcher_does_before_and_after_is_no_time_of_the_program() -> None:
    hooks = str(ROOT / "aitrade_cli/system/profiling/hooks/run.py")
    program = [Frame(hooks, 1, "watched"), Frame(hooks, 2, "execute"), Frame("/x/a.py", 2, "f")]
    writing = [Frame(hooks, 1, "watched"), Frame(hooks, 9, "leave"), Frame("/x/json.py", 2, "dump")]
    assert [before_or_after(one) for one in (program, writing, program[2:])] == [False, True, False]


def test_a_flamegraph_leaves_out_how_python_imports() -> None:
    chain = [Frame("<frozen importlib._bootstrap>", at, "_find_and_load") for at in range(4)]
    stack = (
        Frame("/x/a.py", 1, "<module>"),
        *chain,
        Frame("/lib/torch/__init__.py", 7, "<module>"),
    )
    assert collapsed({stack: 2.0}) == {("<module> (a.py:1)", "<module> (torch/__init__.py:7)"): 2.0}


class Book:
    """Keeps rows two names away."""

    def __init__(self) -> None:
        self.log = Log()


class Log:
    """A list in an object in an object."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []


def test_what_grows_in_a_closure_or_an_object_of_an_object_is_found() -> None:
    kept: list[bytes] = []
    steady = [b"x" * 100] * 50
    book, containers, whole = Book(), Containers(), []

    def note(row: bytes) -> None:
        kept.append(row)

    for at in range(3):
        whole = [b"y" * 1000] * 90 if at else []  # made later, and whole
        for _ in range(20 * (at + 1)):
            note(b"z" * 5000)
            book.log.rows.append(b"z" * 50)
        containers.look(sys._getframe())
    names = {row["name"] for row in containers.grown}
    assert {"kept", "book.log.rows"} <= names
    assert not {"steady", "whole"} & names
    assert len(steady) + len(whole) == 140


def test_a_closure_is_looked_into_by_the_function_that_is_at_hand() -> None:
    def recorder() -> Callable[[bytes], None]:
        seen: list[bytes] = []

        def keep(row: bytes) -> None:
            seen.append(row)

        return keep

    note = recorder()
    containers = Containers()
    for _ in range(3):
        for _ in range(30):
            note(b"z" * 5000)
        containers.look(sys._getframe())
    assert "note.seen" in {row["name"] for row in containers.grown}


def test_several_processes_are_worth_between_one_and_all_of_them() -> None:
    least, most = worth_of(2)
    assert 1.0 <= least <= most <= 2.0
