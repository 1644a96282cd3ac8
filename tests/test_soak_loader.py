"""A sample of `make soak`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.model.loading import load
from tests.soak import loader
from tests.soak.loader import run

COUNT = 300


def test_spoiled_files_are_told_and_never_run(tmp_path: Path) -> None:
    tally = run(COUNT, seed=20_000, folder=tmp_path)
    assert tally.failures == []
    assert tally.executions == 0
    assert tally.files == COUNT
    assert tally.loaded.total() > 0
    assert len(tally.told) > 5


def test_the_soak_would_notice_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(data: bytes, **_: object) -> None:
        raise KeyError(data[:4])

    monkeypatch.setattr(loader, "load", careless)
    monkeypatch.setattr(loader, "KEPT", tmp_path / "kept")
    tally = run(3, seed=1, folder=tmp_path)
    assert len(tally.failures) == 3
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_the_soak_would_notice_an_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(data: bytes, **options: Any) -> object:
        (tmp_path / "mark").mkdir()
        return load(data, **options)

    monkeypatch.setattr(loader, "load", careless)
    monkeypatch.setattr(loader, "KEPT", tmp_path / "kept")
    assert run(2, seed=1, folder=tmp_path).executions == 2


def test_the_soak_would_notice_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: object, **__: object) -> None:
        while True:
            pass

    monkeypatch.setattr(loader, "load", endless)
    monkeypatch.setattr(loader, "SECONDS_PER_FILE", 1)
    monkeypatch.setattr(loader, "KEPT", tmp_path / "kept")
    tally = run(1, seed=1, folder=tmp_path)
    assert "Hang" in tally.failures[0]


def test_the_soak_would_notice_a_memory_blow_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object, **__: object) -> None:
        bytearray(8 << 30)

    monkeypatch.setattr(loader, "load", greedy)
    monkeypatch.setattr(loader, "KEPT", tmp_path / "kept")
    tally = run(1, seed=1, folder=tmp_path)
    assert "MemoryError" in tally.failures[0]
