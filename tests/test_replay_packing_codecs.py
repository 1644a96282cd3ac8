"""What is packed comes back byte for byte, and what was spoilt is never read past its end."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Codec, Selective
from aitrade_cli.replay.packing.codecs import UnknownCodec, codec_named, names, train
from aitrade_cli.replay.packing.patch import Patch, TooWide, common_row, in_words
from aitrade_cli.replay.packing.trial import choose_codec
from aitrade_cli.report.blocks import view
from tests.replay_frames import frames, noise

NAMES = sorted(names())
blocks = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 5).map(lambda words: 8 * words)),
    elements=st.sampled_from([0, 0, 0, 1, 7, 255]),
)


def every_codec() -> list[Codec]:
    trained = train(frames(300))
    return [codec_named(name, trained if name in {"zstd", "cold"} else b"") for name in NAMES]


CODECS = every_codec()
by_name = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


@by_name
@given(block=blocks, data=st.data())
@settings(max_examples=40)
def test_what_is_packed_comes_back(codec: Codec, block: np.ndarray, data: st.DataObject) -> None:
    packed = codec.encode(block)
    assert np.array_equal(codec.decode(packed, *block.shape), block)
    if isinstance(codec, Selective):
        rows = np.array(data.draw(st.lists(st.integers(0, len(block) - 1))), dtype=np.int64)
        out = np.full((len(rows), block.shape[1]), 9, dtype=np.uint8)
        codec.decode_rows(packed, rows, out)
        assert np.array_equal(out, block[rows])


@by_name
@pytest.mark.parametrize("block", [frames(70), noise(33, 24), np.zeros((5, 16), np.uint8)])
def test_whole_blocks_come_back(codec: Codec, block: np.ndarray) -> None:
    again = codec_named(codec.name, codec.setup)
    assert np.array_equal(again.decode(codec.encode(block), *block.shape), block)


@by_name
def test_no_rows_are_packed_too(codec: Codec) -> None:
    nothing = np.zeros((0, 16), dtype=np.uint8)
    assert codec.decode(codec.encode(nothing), 0, 16).shape == (0, 16)


@by_name
@given(data=st.data())
@settings(max_examples=60)
def test_spoilt_bytes_give_an_error_or_other_rows_and_touch_nothing_else(
    codec: Codec, data: st.DataObject
) -> None:
    block = frames(20, side=8)
    spoilt = bytearray(codec.encode(block))
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(spoilt)) | st.just(len(spoilt)))
    memory = np.full((22, 64), 77, dtype=np.uint8)
    with contextlib.suppress(ValueError):
        memory[1:-1] = codec.decode(bytes(spoilt[:end]), 20, 64)
    if isinstance(codec, Selective):
        with contextlib.suppress(ValueError):
            codec.decode_rows(bytes(spoilt[:end]), np.arange(20, dtype=np.int64), memory[1:-1])
    assert (memory[[0, -1]] == 77).all()


@by_name
def test_a_row_or_a_count_that_is_not_there_is_refused(codec: Codec) -> None:
    block = frames(20)
    packed = codec.encode(block)
    with pytest.raises(ValueError, match=r"row|bytes|records|chunk"):
        codec.decode(packed, 21, block.shape[1])
    if isinstance(codec, Selective):
        for row in (-1, 32, 10**9):
            with pytest.raises(ValueError, match="row"):
                codec.decode_rows(packed, np.array([row]), np.empty((1, 576), dtype=np.uint8))


def test_frames_shrink_twentyfold_as_patches_and_noise_does_not() -> None:
    still = frames(512, side=64)
    assert still.nbytes > 20 * len(Patch().encode(still))
    assert len(Patch().encode(noise(64, 64))) > 64 * 64


def test_more_pairs_than_sixteen_bits_can_name() -> None:
    block = noise(300, 1024)
    packed = Patch().encode(block)
    assert np.array_equal(Patch().decode(packed, *block.shape), block)
    rows = np.array([299, 0, 7, 7])
    out = np.empty((4, 1024), dtype=np.uint8)
    Patch().decode_rows(packed, rows, out)
    assert np.array_equal(out, block[rows])


@pytest.mark.parametrize("record", [1, 2, 3, 5, 63])
def test_records_of_any_length_are_patched(record: int) -> None:
    block = noise(9, record) // 200
    assert np.array_equal(Patch().decode(Patch().encode(block), 9, record), block)


def test_a_record_that_places_cannot_point_into_is_refused() -> None:
    with pytest.raises(TooWide, match="262,148 bytes"):
        Patch().encode(np.zeros((1, 262_148), dtype=np.uint8))


@given(blocks)
def test_the_key_row_holds_what_most_rows_hold(block: np.ndarray) -> None:
    rows = in_words(block)
    key = common_row(rows)
    for word in range(rows.shape[1]):
        values, counts = np.unique(rows[:, word], return_counts=True)
        if counts.max() > len(rows) / 2:
            assert key[word] == values[counts.argmax()]


def test_the_trial_chooses_patches_for_frames_and_raw_for_noise() -> None:
    codec, report = choose_codec(frames(512, side=64))
    assert codec.name == report.chosen == "patch"
    assert choose_codec(noise(200, 64))[0].name == "raw"
    walk = np.cumsum(np.random.default_rng(0).integers(-2, 3, (1000, 8)), axis=0)
    numbers = walk.astype(np.float32).view(np.uint8).reshape(1000, -1)
    keep, told = choose_codec(numbers, "keep")
    assert keep.name == "columns"
    assert {trial.codec for trial in told.trials} == set(NAMES)
    assert all(trial.note == "" for trial in told.trials)
    with pytest.raises(BadInput, match="there are none"):
        choose_codec(np.zeros((0, 8), dtype=np.uint8))


def test_a_dictionary_is_kept_with_what_it_packed() -> None:
    codec, _ = choose_codec(frames(512, side=16), "keep")
    block = frames(64, side=16, seed=0)
    again = codec_named(codec.name, codec.setup)
    assert np.array_equal(again.decode(codec.encode(block), *block.shape), block)


def test_a_trial_says_what_could_not_be_used() -> None:
    _, report = choose_codec(np.zeros((4, 262_152), dtype=np.uint8))
    notes = {trial.codec: trial.note for trial in report.trials}
    assert "too long for patches" in notes["patch"]
    assert view(report)


def test_too_little_to_learn_from_gives_no_dictionary() -> None:
    assert train(noise(2, 8)) == b""


def test_an_unknown_codec_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownCodec, match="`snappy`") as told:
        codec_named("snappy")
    assert "patch" in told.value.hint
