"""Killed mid-write: the old file or the new one, never a piece."""

from __future__ import annotations

from pathlib import Path
from random import Random

from aitrade_cli.files import replace
from tests.soak.kills import CARELESS, SIZE, kill_while_writing, run, torn


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    assert run(8, seed=1, folder=tmp_path) == 0


def test_what_it_left_behind_does_not_stop_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    kill_while_writing(path, Random(2))
    (tmp_path / ".aitrade-0123456789abcdef.tmp").write_bytes(b"half")
    replace(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_a_careless_writer_would_be_noticed(tmp_path: Path) -> None:
    assert run(8, seed=1, folder=tmp_path, writer=CARELESS) > 0


def test_every_way_to_be_torn_is_seen() -> None:
    assert torn(b"")
    assert torn(b"A" * (SIZE - 1))
    assert torn(b"A" * (SIZE - 1) + b"B")
    assert torn(b"C" * SIZE)
    assert not torn(b"B" * SIZE)
