"""Records come from their offsets to their places, and one that is cut off is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.replay.disk.reading_kernels import WHOLE, ask_for_records, read_records

LENGTH = 40


@pytest.fixture
def records() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, LENGTH)).astype(np.uint8)


@pytest.fixture
def descriptor(records: np.ndarray, tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "segment"
    path.write_bytes(records.tobytes())
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def read(descriptor: int, rows: list[int], places: list[int]) -> tuple[int, np.ndarray]:
    offsets = np.array(rows, np.int64) * LENGTH
    descriptors = np.full(len(rows), descriptor, np.int32)
    out = np.zeros((8, LENGTH), np.uint8)
    ask_for_records(descriptors, offsets, LENGTH)
    return read_records(descriptors, offsets, np.array(places, np.int64), out), out


def test_each_record_goes_to_its_place(descriptor: int, records: np.ndarray) -> None:
    code, out = read(descriptor, [5, 0, 3], [1, 7, 2])
    assert code == WHOLE
    np.testing.assert_array_equal(out[[1, 7, 2]], records[[5, 0, 3]])
    assert not out[[0, 3, 4, 5, 6]].any()


def test_the_first_record_that_is_cut_off_is_told(descriptor: int, tmp_path: Path) -> None:
    os.truncate(tmp_path / "segment", 5 * LENGTH - 1)
    assert read(descriptor, [0, 3, 4, 1], [0, 1, 2, 3])[0] == 2


def test_a_file_that_is_not_open_is_told() -> None:
    assert read(-1, [0], [0])[0] == 0
