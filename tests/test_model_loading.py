"""What the loader makes of honest files, and how exactly it reads them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.artefact import TorchWeights
from aitrade_cli.model.card import Arch
from aitrade_cli.model.card_data import BadCard
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.limits import Limits, TooLarge, limits_from_environment
from aitrade_cli.model.loading.load import NeedsArch
from aitrade_cli.model.loading.members import read_members
from aitrade_cli.model.loading.pickled_module import OldSave, PickledModule, wanted_names
from aitrade_cli.model.loading.plain_pickle import BadPickle, Machine, WantsPython
from aitrade_cli.model.loading.protobuf import count_messages
from aitrade_cli.model.loading.tensors import Tensors, check_view, names_of
from aitrade_cli.model.loading.torch_zip import read_saved
from tests import hostile

SMALL = "tests.hostile:small"
ROOT = Path(__file__).parent.parent
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=12,
)


def read(pickled: bytes) -> Any:
    tensors = Tensors({}, Limits())
    return Machine(names_of(tensors, len(pickled)), tensors.storage, Limits()).run(pickled)


def all_equal(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and left.equal(right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(all_equal(left[key], right[key]) for key in left)
    return left == right


@given(plain, st.integers(0, 5))
def test_plain_data_reads_as_python_reads_it(value: Any, protocol: int) -> None:
    pickled = pickle.dumps(value, protocol)
    try:
        mine = read(pickled)
    except BadPickle:
        assert protocol < 2  # text protocols have opcodes that torch never writes
        return
    assert mine == value
    assert type(mine) is type(value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_read_as_torch_reads_them(protocol: int) -> None:
    base = torch.arange(24, dtype=torch.float32)
    value = {
        "plain": base.reshape(4, 6),
        "transposed": base.reshape(4, 6).t(),
        "part": base[5:9],
        "scalar": torch.tensor(7, dtype=torch.int64),
        "empty": torch.empty(0, 3),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "int8": base.to(torch.int8),
        "uint16": base.to(torch.uint16),
        "bool": base > 3,
        "complex": torch.complex(base, base),
        "parameter": torch.nn.Parameter(base.clone()),
        "float8": base.to(torch.float8_e4m3fn).view(torch.uint8),
        "bytes": b"\x00\xff",
        "size": tuple(torch.Size([1, 2])),
    }
    data = hostile.saved(value, protocol)
    mine = read_saved(read_members(data, Limits()), Limits())
    theirs = torch.load(io.BytesIO(data), weights_only=False)
    assert all(all_equal(mine[key], theirs[key]) for key in theirs)


def test_a_view_that_is_shared_stays_shared() -> None:
    base = torch.zeros(100)
    data = hostile.saved({"a": base, "b": base[10:20]})
    mine = read_saved(read_members(data, Limits()), Limits())
    mine["a"][10] = 5.0
    assert mine["b"][0] == 5.0


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 20)), max_size=4),
)
def test_a_view_is_let_in_exactly_where_torch_could_make_it(
    held: int, offset: int, axes: list[tuple[int, int]]
) -> None:
    size, stride = tuple(axis[0] for axis in axes), tuple(axis[1] for axis in axes)
    try:
        check_view(held, offset, size, stride)
    except BadPickle:
        return
    if 0 not in size:
        torch.zeros(held).as_strided(size, stride, offset)


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((1 << 40,), (0,)),
        ((5,), (-1,)),
        ((-1,), (1,)),
        ((3, 3), (1,)),
        ((1.0,), (1,)),
        ([2], (1,)),
        ((1 << 61, 1 << 61, 0), (1, 1, 1)),
    ],
)
def test_a_size_that_the_storage_cannot_hold_is_refused(size: Any, stride: Any) -> None:
    with pytest.raises(BadPickle):
        check_view(4, 0, size, stride)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02.",
        b"\x80\x02}",
        b"\x80\x02]q\x00h\x00a",
        b"\x80\x02}q\x00h\x07.",
        b"\x80\x02(t",
        b"\x80\x02(}.",
        b"\x80\x02K\x01K\x02.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x02NNR.",
        b"\x80\x02}}b.}",
        b"\x80\x02]}b.",
        b"\x80\x02ctorch\nfloat32\n)R.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x02cx\ny\n.",
        b"\x80\x02c\\x70osix\nmkdir\n.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
    ],
)
def test_a_pickle_that_no_torch_writes_is_refused(pickled: bytes) -> None:
    try:
        value = read(pickled)
    except (BadPickle, WantsPython):
        return
    assert value in ({}, [])


def test_a_list_inside_itself_is_refused() -> None:
    loop = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01h\x00s."
    members = hostile.zipped({"data.pkl": loop})
    with pytest.raises(BadPickle, match=r"deeper|often"):
        load(members, arch=SMALL)


def test_parts_that_multiply_when_walked_are_refused() -> None:
    value: list[Any] = []
    for _ in range(40):
        value = [value, value, value]
    with pytest.raises(BadPickle, match="often"):
        load(hostile.saved({"a": value}), arch=SMALL)


def test_tensors_that_share_a_few_bytes_a_thousand_times_are_refused() -> None:
    base = torch.zeros(1 << 18)
    data = hostile.saved({f"w{index}": base.view(-1) for index in range(200)})
    with pytest.raises(TooLarge, match="share"):
        load(data, arch=SMALL)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_what_a_pickle_wants_is_found_without_running_it(protocol: int) -> None:
    names = wanted_names(pickle.dumps([Path("x"), torch.nn.ReLU, Arch], protocol))
    assert {"torch.nn.modules.activation.ReLU", "aitrade_cli.model.card.Arch"} <= set(names)


def test_bare_weights_ask_for_their_network() -> None:
    with pytest.raises(NeedsArch) as error:
        load(hostile.saved(hostile.small().state_dict()), name="weights.pt")
    assert "--arch" in error.value.hint


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict"])
def test_weights_below_a_trainers_wrapper_are_found(wrapper: str) -> None:
    weights = hostile.small().state_dict()
    artefact = load(hostile.saved({wrapper: weights, "epoch": 3}), arch=SMALL)
    assert isinstance(artefact.network, TorchWeights)
    assert list(artefact.network.state_dict) == list(weights)


def test_a_checkpoint_with_its_optimizer_comes_in() -> None:
    network = hostile.small()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 2, 3)).sum().backward()
    optimizer.step()
    state = {"state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    assert isinstance(load(hostile.saved(state), arch=SMALL).network, TorchWeights)


def test_something_else_than_tensors_is_named() -> None:
    with pytest.raises(BadInput, match="`epoch` is a int"):
        load(hostile.saved({"epoch": 3}), arch=SMALL)


def test_a_file_of_torch_before_1_6_is_told_how_to_be_saved_anew() -> None:
    buffer = io.BytesIO()
    torch.save(hostile.small().state_dict(), buffer, _use_new_zipfile_serialization=False)
    with pytest.raises(OldSave) as error:
        load(buffer.getvalue())
    assert "weights_only=True" in error.value.hint


def test_a_raw_pickle_of_plain_data_is_refused_too() -> None:
    with pytest.raises(PickledModule, match="raw pickle"):
        load(pickle.dumps({"a": 1}))


def test_counting_the_parts_of_a_graph_stops_at_the_ceiling() -> None:
    nodes = b"\x0a\x00" * 1000
    data = b"\x3a" + b"\xd0\x0f" + nodes
    assert count_messages(data, Limits()) == 1001
    with pytest.raises(TooLarge):
        count_messages(data, Limits(messages=1000))


def test_the_ceiling_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITRADE_MAX_MODEL_BYTES", "1000")
    assert limits_from_environment().file_bytes == 1000


@pytest.mark.parametrize("text", ["1GB", "-1", "0", "1e9", "²"])
def test_a_ceiling_that_is_no_number_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITRADE_MAX_MODEL_BYTES", text)
    with pytest.raises(Usage, match="AITRADE_MAX_MODEL_BYTES"):
        limits_from_environment()


def test_a_sample_that_announces_more_than_its_bytes_hold_is_refused() -> None:
    packed = dict.fromkeys(("timestamp_ns", "open_price", "close_price", "features"), b"")
    sample = {"rows": 50_000_000, "columns": 10, **packed}
    value = {"format": 1, "state_dict": {}, "inputs": [], "outputs": [], "history": []}
    tensors = {key: torch.zeros(9, dtype=torch.uint8) for key in packed}
    with pytest.raises(BadCard, match="cannot hold"):
        load(hostile.saved({**value, "sample": {**sample, **tensors}}))
