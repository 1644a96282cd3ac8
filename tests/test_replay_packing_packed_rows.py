"""Packed rows are the rows, through every tier and every turnover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.packing.arena import Arena
from aitrade_cli.replay.packing.packed_rows import GoneRow, PackedRows
from aitrade_cli.replay.packing.patch import Patch
from aitrade_cli.report.blocks import view
from tests.replay_frames import frames, noise


def taken(rows: PackedRows, indices: np.ndarray) -> np.ndarray:
    out = np.full((len(indices), rows.record_bytes), 3, dtype=np.uint8)
    rows.take(indices, np.arange(len(indices)), out)
    return out


def push_all(rows: PackedRows, source: np.ndarray) -> None:
    for start in range(0, len(source), rows.block_rows):
        rows.push(source[start : start + rows.block_rows])


@given(
    st.integers(1, 40),
    st.integers(1, 120),
    st.sampled_from([1, 7, 16]),
    st.sampled_from([None, 0, 20, 60]),
    st.sampled_from(["frames", "noise", "both"]),
)
@settings(max_examples=60)
def test_every_live_row_is_the_one_that_was_added(
    blocks: int, capacity: int, block_rows: int, warm_rows: int | None, kind: str
) -> None:
    count = blocks * block_rows
    source = frames(count, side=8) if kind == "frames" else noise(count, 64)
    if kind == "both":
        source[: count // 2] = frames(count // 2, side=8)
    rows = PackedRows(capacity, 64, block_rows=block_rows, warm_rows=warm_rows)
    push_all(rows, source)
    live = np.arange(rows.first, rows.total)
    assert len(live) == min(count, capacity)
    for order in (live, live[::-1], np.repeat(live, 2)):
        assert np.array_equal(taken(rows, order), source[order])


def test_rows_go_where_they_are_sent_and_nowhere_else() -> None:
    source = np.concatenate((frames(16, side=8), noise(16, 64)))
    rows = PackedRows(32, 64, block_rows=16)
    push_all(rows, source)
    out = np.full((5, 64), 3, dtype=np.uint8)
    rows.take(np.array([20, 2]), np.array([4, 1]), out)
    assert np.array_equal(out[[4, 1]], source[[20, 2]])
    assert (out[[0, 2, 3]] == 3).all()


def test_frames_take_a_twentieth_and_the_report_says_how() -> None:
    source = frames(4096, side=64)
    rows = PackedRows(4096, 64 * 64, block_rows=128, warm_rows=1024)
    push_all(rows, source)
    report = rows.report()
    assert report.ratio > 20
    assert report.codecs == {"cold": 24, "patch": 8}
    assert report.raw_bytes == source.nbytes
    assert view(report)


def test_what_cannot_be_packed_stays_raw_and_costs_little_more() -> None:
    rows = PackedRows(1000, 64, block_rows=50)
    push_all(rows, noise(1000, 64))
    report = rows.report()
    assert report.codecs == {"raw": 20}
    assert 0.9 < report.ratio <= 1.0


def test_a_picture_that_changes_kind_changes_its_codec() -> None:
    rows = PackedRows(10_000, 64, block_rows=10)
    push_all(rows, noise(320, 64))
    push_all(rows, frames(320, side=8))
    assert set(rows.report().codecs) == {"raw", "patch"}


@pytest.mark.parametrize("index", [-1, 5, 16])
def test_a_row_that_is_not_here_is_named(index: int) -> None:
    rows = PackedRows(10, 8, block_rows=4)
    push_all(rows, noise(16, 8))
    with pytest.raises(GoneRow, match=f"`{index}` is not among the packed rows 6 to 15"):
        taken(rows, np.array([7, index]))


def test_sizes_that_hold_nothing_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot hold"):
        PackedRows(0, 8)


@pytest.mark.parametrize("shape", [(3, 8), (4, 9)])
def test_a_block_of_another_size_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match=r"wanted \(4, 8\)"):
        PackedRows(10, 8, block_rows=4).push(np.zeros(shape, np.uint8))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 6))
def test_the_arena_keeps_the_newest_blocks_wherever_they_come_to_lie(
    sizes: list[int], kept: int
) -> None:
    arena, source = Arena(kept + 1), {}
    for number, size in enumerate(sizes):
        arena.drop_before(number - kept + 1)
        source[number] = noise(size, 16, seed=number)
        arena.push(number, Patch().encode(source[number]))
        for block in range(max(0, number - kept + 1), number + 1):
            count = len(source[block])
            out = np.empty((count, 16), dtype=np.uint8)
            arena.unpack(np.full(count, block), np.arange(count), np.arange(count), out)
            assert np.array_equal(out, source[block])
    assert arena.packed_bytes <= arena.bytes
