"""Two at once: whole files only, and of two who want one new name one is refused."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.shell import ROOT, surroundings

# Both wait for the word, so that they really meet.
MEET = """
import sys
from pathlib import Path
from aitrade_cli.files import replace
from aitrade_cli.errors import WouldOverwrite
from aitrade_cli.pipeline import write_output
letter, path = sys.argv[1], sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
{body}
"""
REPLACE_OFTEN = (
    'for _ in range(40): replace(Path(path), letter.encode() * 1_000_000)\nprint("done")'
)
CREATE_ONCE = """
try:
    write_output(path, letter.encode() * 1_000_000)
    print("done")
except WouldOverwrite:
    print("refused")
"""
CARELESS = """
if not Path(path).exists():
    import time; time.sleep(0.3)
    Path(path).write_bytes(letter.encode() * 1_000_000)
    print("done")
"""


def start(letter: str, path: Path, body: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", MEET.format(body=body), letter, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=surroundings(),
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def ends(processes: list[subprocess.Popen[str]]) -> Counter[str]:
    return Counter(process.communicate(timeout=600)[0].strip() for process in processes)


def whole(data: bytes) -> bool:
    return data in (b"A" * 1_000_000, b"B" * 1_000_000)


def test_a_reader_meanwhile_finds_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"A" * 1_000_000)
    processes = [start(letter, path, REPLACE_OFTEN) for letter in "AB"]
    go(processes)
    seen = []
    while any(process.poll() is None for process in processes):
        seen.append(whole(path.read_bytes()))
    assert ends(processes) == {"done": 2}
    assert seen
    assert all(seen)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_who_want_one_new_name_one_is_refused(tmp_path: Path, attempt: int) -> None:
    path = tmp_path / f"m{attempt}"
    processes = [start(letter, path, CREATE_ONCE) for letter in "AB"]
    go(processes)
    assert ends(processes) == {"done": 1, "refused": 1}
    assert whole(path.read_bytes())
    assert list(tmp_path.iterdir()) == [path]


def test_careless_writers_would_be_noticed(tmp_path: Path) -> None:
    processes = [start(letter, tmp_path / "m", CARELESS) for letter in "AB"]
    go(processes)
    assert ends(processes) == {"done": 2}
