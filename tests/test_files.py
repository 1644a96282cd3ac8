"""Files are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli import files


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_the_last_bytes_put_there_are_the_ones_that_lie_there(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes
) -> None:
    path = tmp_path_factory.mktemp("files") / "a.bin"
    files.replace(path, before)
    files.replace(path, after)
    assert path.read_bytes() == after
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_mode_follows_the_umask(tmp_path: Path, mask: int) -> None:
    earlier = os.umask(mask)
    try:
        files.replace(tmp_path / "a.bin", b"x")
    finally:
        os.umask(earlier)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(OSError, match="Input/output"):
        files.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_no_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.replace(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_neighbour_left_by_a_killed_process_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    (tmp_path / f".a.bin.{os.getpid()}.tmp").write_bytes(b"half")
    (tmp_path / ".aitrade-00.tmp").write_bytes(b"half")
    monkeypatch.setattr(files.os, "getpid", lambda: 7)  # what a container gives everyone
    files.replace(path, b"one")
    files.replace(path, b"two")
    assert path.read_bytes() == b"two"


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def open_files_only(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(files.os, "open", open_files_only)
    files.replace(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_creating_takes_only_a_free_name(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.create(path, b"one")
    with pytest.raises(FileExistsError):
        files.create(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_creating_works_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(files.os, "link", refuse)
    test_creating_takes_only_a_free_name(tmp_path)


def test_a_link_that_leads_nowhere_is_a_taken_name(tmp_path: Path) -> None:
    (tmp_path / "a.bin").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "a.bin", b"x")


@pytest.mark.parametrize("put", [files.replace, files.create])
def test_either_way_the_mode_is_the_umasks(
    tmp_path: Path, put: Callable[[Path, bytes], None]
) -> None:
    put(tmp_path / "a.bin", b"x")
    earlier = os.umask(0)
    os.umask(earlier)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~earlier


def test_a_link_is_replaced_and_the_file_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "v1.bin").write_bytes(b"v1")
    (tmp_path / "current.bin").symlink_to("v1.bin")
    files.replace(tmp_path / "current.bin", b"v2")
    assert (tmp_path / "v1.bin").read_bytes() == b"v1"
    assert (tmp_path / "current.bin").read_bytes() == b"v2"


def test_a_checksum_is_the_published_one() -> None:
    # FIPS 180-4, the one-block example.
    name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(b"abc") == name
