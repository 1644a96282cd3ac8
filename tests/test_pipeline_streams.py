"""`-`, names, and where bytes may and may not go."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import NothingArrived, WouldOverwrite
from aitrade_cli.model.loading.limits import TooLarge
from aitrade_cli.pipeline.streams import (
    BytesOnTerminal,
    CannotRead,
    CannotWrite,
    StdinIsTerminal,
    output_name,
    read_input,
    write_output,
)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def stdin_of(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_file_comes_with_its_name_and_folder(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"bytes")
    incoming = read_input(str(tmp_path / "m.pt"))
    assert (incoming.data, incoming.name, incoming.folder) == (b"bytes", "m.pt", tmp_path.resolve())


@given(st.binary(min_size=1, max_size=1000))
def test_stdin_arrives_whole_and_brings_no_folder(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        stdin_of(monkeypatch, data)
        incoming = read_input("-")
    assert (incoming.data, incoming.name, incoming.folder) == (data, "-", None)


def test_an_empty_stdin_says_that_the_stage_before_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, b"")
    with pytest.raises(NothingArrived) as failure:
        read_input("-")
    assert "pipefail" in failure.value.hint


def test_nobody_is_asked_to_type_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO(b"x")))
    with pytest.raises(StdinIsTerminal):
        read_input("-")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
    ],
    ids=["missing", "folder", "loop"],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(tmp_path / "m.pt")
    with pytest.raises(CannotRead, match=f"cannot read `.*m.pt`: .*{reason}"):
        read_input(str(tmp_path / "m.pt"))


def test_an_endless_device_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITRADE_MAX_MODEL_BYTES", "20000000")
    with pytest.raises(TooLarge, match="`/dev/zero` holds more than 20,000,000 bytes"):
        read_input("/dev/zero")


def test_a_sparse_file_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITRADE_MAX_MODEL_BYTES", "1000")
    (tmp_path / "m.pt").write_bytes(b"")
    os.truncate(tmp_path / "m.pt", 1 << 40)
    with pytest.raises(TooLarge):
        read_input(str(tmp_path / "m.pt"))


def test_an_endless_stdin_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITRADE_MAX_MODEL_BYTES", "100")
    stdin_of(monkeypatch, b"x" * 101)
    with pytest.raises(TooLarge, match="`stdin` holds more than 100 bytes"):
        read_input("-")


def test_a_named_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.pt")
    writer = threading.Thread(target=(tmp_path / "m.pt").write_bytes, args=(b"bytes",))
    writer.start()
    assert read_input(str(tmp_path / "m.pt")).data == b"bytes"
    writer.join()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("fixtures/models/lstm.pt", "lstm.int8.onnx"),
        ("lstm.v2.pt", "lstm.v2.int8.onnx"),
        ("-", "model.int8.onnx"),
    ],
)
def test_a_derived_name_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert output_name(source, None, ".int8.onnx", force=False) == name


def test_a_taken_name_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")
    with pytest.raises(WouldOverwrite, match="already exists") as failure:
        output_name("m.pt", str(path), ".onnx", force=False)
    assert "--force" in failure.value.hint
    assert output_name("m.pt", str(path), ".onnx", force=True) == str(path)
    assert path.read_bytes() == b"old"


def test_a_link_that_leads_nowhere_takes_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").symlink_to("nowhere")
    with pytest.raises(WouldOverwrite):
        output_name("m.pt", str(tmp_path / "a.onnx"), ".onnx", force=False)


def test_a_name_taken_meanwhile_is_refused_too(tmp_path: Path) -> None:
    target = output_name("m.pt", str(tmp_path / "a.onnx"), ".onnx", force=False)
    (tmp_path / "a.onnx").write_bytes(b"theirs")
    with pytest.raises(WouldOverwrite):
        write_output(target, b"ours")
    assert (tmp_path / "a.onnx").read_bytes() == b"theirs"


@pytest.mark.parametrize("name", ["missing/a.onnx", ".", "", "file/a.onnx", "a" * 300])
def test_a_name_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWrite, match="cannot write `"):
        output_name("m.pt", name, ".onnx", force=True)


def test_bytes_do_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal(io.BytesIO()))
    with pytest.raises(BytesOnTerminal):
        output_name("m.pt", "-", ".onnx", force=False)


def test_bytes_go_to_a_pipe_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe))
    assert output_name("m.pt", "-", ".onnx", force=False) == "-"
    write_output("-", b"\x00\r\n\xff")
    assert pipe.getvalue() == b"\x00\r\n\xff"


def test_a_device_is_written_through_and_never_replaced(tmp_path: Path) -> None:
    # With `--force` a rename would have put a plain file in the place of `/dev/null`.
    os.mkfifo(tmp_path / "pipe")
    assert output_name("m.pt", str(tmp_path / "pipe"), ".onnx", force=False)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_output(str(tmp_path / "pipe"), b"bytes", force=True)
    reader.join()
    assert got == [b"bytes"]
    assert (tmp_path / "pipe").is_fifo()
