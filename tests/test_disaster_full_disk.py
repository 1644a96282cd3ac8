"""A full disk: the old file stays, no piece of a new one, one line that says so."""

from __future__ import annotations

import resource
import shlex
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.shell import PROGRAM, ROOT, aitrade, surroundings

REPLACE = """
import sys
from pathlib import Path
from aitrade_cli.files import replace
try:
    replace(Path(sys.argv[1]), b"new" * 100_000)
except OSError as error:
    sys.exit(error.strerror)
"""
# No row can run without fixtures, so this is the quickest line that writes a file.
JUNIT = f"{shlex.join(PROGRAM)} check-all --only M13 --junit"


def limit_files_to_10_kb() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", REPLACE, str(path)],
        preexec_fn=limit_files_to_10_kb,
        capture_output=True,
        env=surroundings(),
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"File too large\n")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


@cache
def small_disks_are_allowed() -> bool:
    try:
        words = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=4k", "none", "/mnt"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def on_small_disk(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line with a disk of 64 kB at ``folder``, and list what lies there afterwards."""
    if not small_disks_are_allowed():
        pytest.skip("this machine does not allow mounting in a user namespace")
    mount = f"mount -t tmpfs -o size=64k none {folder}; printf old > {folder}/m"
    return subprocess.run(
        [*UNSHARE, "bash", "-c", f"{mount}; {line}; echo code $?; cat {folder}/m; ls -A {folder}"],
        capture_output=True,
        env=surroundings(AITRADE_FIXTURES="/nowhere"),
        cwd=ROOT,
        text=True,
        check=False,
    )


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    done = on_small_disk(tmp_path, shlex.join([sys.executable, "-c", REPLACE, f"{tmp_path}/m"]))
    assert done.stdout == "code 1\noldm\n"
    assert "No space left on device" in done.stderr


def test_a_disk_with_room_takes_the_new_file(tmp_path: Path) -> None:
    line = shlex.join([sys.executable, "-c", REPLACE.replace("100_000", "10"), f"{tmp_path}/m"])
    assert on_small_disk(tmp_path, line).stdout == f"code 0\n{'new' * 10}m\n"


def test_a_command_says_what_it_could_not_write(tmp_path: Path) -> None:
    fill = f"head -c 61440 /dev/zero > {tmp_path}/filler"
    done = on_small_disk(tmp_path, f"{fill}; {JUNIT} {tmp_path}/m >/dev/null")
    assert done.stdout == "code 4\noldfiller\nm\n"
    assert done.stderr.splitlines()[-1] == (
        f"error: cannot write `{tmp_path}/m`: No space left on device"
    )


needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@needs_dev_full
@pytest.mark.parametrize(
    "words",
    ["--help", "--version", "check-all --only M13", "check-all --only M13 --json"],
)
def test_a_report_to_a_full_disk_ends_in_one_line_and_exit_4(words: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(PROGRAM)} {words} >/dev/full"],
        capture_output=True,
        env=surroundings(AITRADE_FIXTURES="/nowhere"),
        cwd=ROOT,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "o space left on" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_the_same_lines_end_well_where_there_is_room() -> None:
    done = aitrade("check-all", "--only", "M13", env={"AITRADE_FIXTURES": "/nowhere"})
    assert (done.returncode, b"1 unavailable" in done.stdout) == (0, True)
