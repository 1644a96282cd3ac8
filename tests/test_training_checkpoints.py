"""The checkpoint file: back bit by bit, small, and nothing passes that was not written."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aitrade_cli.errors import BadInput
from aitrade_cli.training.checkpoints import snapshot
from aitrade_cli.training.checkpoints.coding import CHUNK_BYTES, DTYPES, UNSIGNED, Coder
from aitrade_cli.training.checkpoints.layout import (
    DamagedCheckpoint,
    NotACheckpoint,
    read,
    read_head,
    write,
)
from aitrade_cli.training.checkpoints.planes import join, split
from aitrade_cli.training.checkpoints.snapshot import Snapshot, TornSnapshot
from aitrade_cli.training.checkpoints.tree import NotPlain


def saved(path: Path, state: Any, head: dict[str, Any] | None = None) -> Path:
    """Written as the writer does it."""
    taken = Snapshot()
    taken.take(state)
    write(path, head or {}, taken.tree, taken.tensors, Coder())
    return path


def same(one: Any, other: Any) -> bool:
    """Equal in every bit, kind and key; NaNs by their bits."""
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and raw(one) == raw(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


def raw(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    width = torch.empty((), dtype=dtype).element_size()
    size = math.prod(shape) * width
    data = bytearray(draw(st.binary(min_size=size, max_size=size)))
    if dtype == torch.bool:
        data = bytearray(byte & 1 for byte in data)
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).reshape(shape)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
trees = st.recursive(
    plain | tensors(),
    lambda part: (
        st.lists(part, max_size=3)
        | st.lists(part, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.just("$") | st.integers(), part, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=25)
@given(tree=trees)
def test_a_state_comes_back_in_every_bit_and_kind(
    tree: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = saved(tmp_path_factory.mktemp("ckpt") / "state.ckpt", tree)
    assert same(read(path).tree, tree)


@given(
    width=st.sampled_from((1, 2, 4, 8)),
    data=st.binary(min_size=8, max_size=256),
    rotate=st.booleans(),
)
def test_planes_are_the_bytes_of_equal_weight(width: int, data: bytes, rotate: bool) -> None:
    numbers = np.frombuffer(data[: len(data) // 8 * 8], UNSIGNED[width])
    out = np.empty((width, numbers.size), np.uint8)
    rotate = rotate and width > 1
    split(numbers, rotate=rotate, out=out)
    bits = 8 * width
    for at, value in enumerate(int(number) for number in numbers):
        turned = (value << 1 | value >> bits - 1) & (1 << bits) - 1 if rotate else value
        assert bytes(out[:, at].tolist()) == turned.to_bytes(width, "big")
    back = np.empty_like(numbers)
    join(out, rotate=rotate, out=back)
    assert back.tolist() == numbers.tolist()


def trained(count: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(1)) * 0.02


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 0.84), (torch.bfloat16, 0.68)])
def test_weights_take_what_their_exponents_compress_to(
    dtype: torch.dtype, most: float, tmp_path: Path
) -> None:
    weights = trained(3 * CHUNK_BYTES // 4 + 17).to(dtype)
    path = saved(tmp_path / "state.ckpt", {"weights": weights})
    assert path.stat().st_size <= most * weights.nbytes
    assert torch.equal(read(path).tree["weights"], weights)


def test_zeros_and_small_integers_nearly_vanish(tmp_path: Path) -> None:
    state = {"moments": torch.zeros(100_000), "order": torch.randperm(10_000)}
    assert saved(tmp_path / "state.ckpt", state).stat().st_size < 25_000


def test_tensors_of_any_strides_are_kept_by_value(tmp_path: Path) -> None:
    whole = torch.arange(60, dtype=torch.bfloat16).reshape(3, 4, 5)
    parts = {"turned": whole.permute(2, 0, 1), "every": whole[:, ::2], "one": whole[1, 2, 3]}
    found = read(saved(tmp_path / "state.ckpt", parts)).tree
    assert all(torch.equal(found[name], part) for name, part in parts.items())


def small_state() -> dict[str, Any]:
    return {"weights": trained(50), "step": 3, "order": torch.arange(20)}


def test_no_byte_can_change_unnoticed(tmp_path: Path) -> None:
    path = saved(tmp_path / "state.ckpt", small_state(), {"step": 3})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises((DamagedCheckpoint, NotACheckpoint)):
            read(path)
    path.write_bytes(whole)
    assert read(path).head == read_head(path) == {"step": 3}


def test_no_length_but_the_whole_one_is_taken(tmp_path: Path) -> None:
    path = saved(tmp_path / "state.ckpt", small_state())
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCheckpoint):
            read(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(DamagedCheckpoint, match="cut off"):
        read(path)


@pytest.mark.parametrize("data", [b"PK\x03\x04 a zip", b"\x80\x04pickle", b"hello"])
def test_another_file_is_told_from_a_damaged_one(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(data)
    with pytest.raises(NotACheckpoint, match=r"`.*x\.ckpt` is not a checkpoint"):
        read(tmp_path / "x.ckpt")


def test_a_later_format_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "state.ckpt", small_state())
    path.write_bytes(path.read_bytes().replace(b"aitrade-state 1", b"aitrade-state 2", 1))
    with pytest.raises(NotACheckpoint, match="another format"):
        read(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        read(tmp_path / "none.ckpt")


class Runs:
    """What a pickle would do by being opened."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('code was run')",)


def test_opening_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(NotACheckpoint):
        read(tmp_path / "x.ckpt")
    with pytest.raises(SystemExit):  # the same bytes do run where they are unpickled
        pickle.loads((tmp_path / "x.ckpt").read_bytes())


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"a": [1, object()]}, r"`state\.a\[1\]` is a object"),
        ({"a": np.zeros(3)}, r"`state\.a` is a ndarray"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "sparse"),
    ],
)
def test_what_is_not_plain_is_refused_by_its_place(state: Any, place: str) -> None:
    with pytest.raises(NotPlain, match=place):
        Snapshot().take(state)


def test_the_second_snapshot_takes_no_new_memory() -> None:
    taken = Snapshot()
    taken.take({"a": torch.zeros(5), "step": 1})
    places = [room.data_ptr() for room in taken.tensors]
    taken.take({"a": torch.ones(5), "step": 2})
    assert [room.data_ptr() for room in taken.tensors] == places
    assert taken.tensors[0].tolist() == [1.0] * 5


def changed_while_copied(monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]) -> None:
    """A step in place after each tensor is copied, as another thread could take it."""
    plain_copy = snapshot.copy_all

    def copy_all(live: Sequence[Tensor], rooms: Sequence[Tensor]) -> None:
        for tensor, room in zip(live, rooms, strict=True):
            plain_copy([tensor], [room])
            for weights in state.values():
                weights.add_(1.0)

    monkeypatch.setattr(snapshot, "copy_all", copy_all)


def test_a_torn_snapshot_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"first": torch.zeros(4), "second": torch.zeros(4)}
    changed_while_copied(monkeypatch, state)
    with pytest.raises(TornSnapshot):
        Snapshot().take(state)


def test_without_the_count_it_would_be_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"first": torch.zeros(4), "second": torch.zeros(4)}
    changed_while_copied(monkeypatch, state)
    monkeypatch.setattr(snapshot, "versions", lambda _: [])
    taken = Snapshot()
    taken.take(state)
    assert not torch.equal(taken.tensors[0], taken.tensors[1])


@pytest.mark.parametrize("cores", [1, 2])
def test_a_large_state_is_copied_whole_by_one_thread_or_two(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """Ragged pieces, a transposed tensor, halves, an empty one: enough to call a helper for."""
    draw = torch.Generator().manual_seed(0)
    state = {
        "long": torch.randn(5_000_001, generator=draw),
        "turned": torch.randn(300, 200, generator=draw).T,
        "half": torch.randn(700_000, generator=draw).bfloat16(),
        "empty": torch.empty(0),
        "one": torch.tensor(True),
    }
    helped: list[int] = []
    monkeypatch.setattr(snapshot, "usable_cores", lambda: frozenset(range(cores)))
    plain = snapshot.work_off
    monkeypatch.setattr(snapshot, "work_off", lambda left: (helped.append(1), plain(left)))
    taken = Snapshot()
    taken.take(state)
    assert len(helped) == cores
    for tensor, room in zip(state.values(), taken.tensors, strict=True):
        assert torch.equal(tensor, room)
