"""Archives, graphs and tables of sizes that lie, climb or swell: refused and named."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import OnnxGraph, TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.limits import TooLarge
from aitrade_cli.model.loading.members import ClimbingPath, Truncated, TwoOfOne, ZipBomb
from aitrade_cli.model.loading.operators import CustomOperators
from aitrade_cli.model.loading.sniff import NotAModel
from tests import hostile, hostile_graphs


def test_every_truncation_of_an_archive_is_told_as_one() -> None:
    data = hostile.saved(hostile.small().state_dict())
    for size in [4, 30, 64, *range(100, len(data), 97), len(data) - 1]:
        with pytest.raises(BadInput):
            load(data[:size], arch="tests.hostile:small")


def test_a_truncated_archive_says_that_it_is_damaged() -> None:
    data = hostile.saved(hostile.small().state_dict())
    with pytest.raises(Truncated, match="damaged"):
        load(data[: len(data) // 2])


def test_a_changed_weight_byte_is_noticed() -> None:
    data = bytearray(hostile.saved(hostile.small().state_dict()))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo("archive/data/0")
    data[entry.header_offset + 200] ^= 1
    with pytest.raises(Truncated):
        load(bytes(data), arch="tests.hostile:small")


def test_a_zip_bomb_is_refused_before_it_unpacks() -> None:
    with pytest.raises(ZipBomb, match="104857600"):
        load(hostile.bomb())


def test_entries_that_share_their_content_are_refused() -> None:
    with pytest.raises((TwoOfOne, Truncated)):
        load(hostile.overlapping_bomb())


def test_two_entries_of_one_name_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data.pkl", b"\x80\x02].")
    with pytest.raises(TwoOfOne, match=r"data\.pkl"):
        load(buffer.getvalue())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\evil", "C:/evil"])
def test_an_entry_that_leaves_the_archive_is_refused(name: str) -> None:
    with pytest.raises(ClimbingPath):
        load(hostile.zipped({name: b"x"}, root=""))


def test_more_bytes_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = hostile.saved(hostile.small().state_dict())
    monkeypatch.setenv("AITRADE_MAX_MODEL_BYTES", str(len(data) - 1))
    with pytest.raises(TooLarge):
        load(data)


@pytest.mark.parametrize(
    "location", ["../secret", "a/../../secret", "/etc/passwd", "..\\secret", "C:\\secret", "."]
)
def test_external_data_that_climbs_out_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(36))
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(ClimbingPath):
        load(hostile_graphs.external(location), folder=folder)


def test_external_data_behind_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(36))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "inside").symlink_to(tmp_path / "secret")
    with pytest.raises(ClimbingPath, match="link"):
        load(hostile_graphs.external("inside"), folder=folder)


def test_an_address_in_memory_is_no_external_data() -> None:
    tag = hostile_graphs.external("*/_ORT_MEM_ADDR_/*", offset="4096", length="36")
    with pytest.raises(ClimbingPath):
        load(tag, folder=Path())


def test_external_data_is_not_read_for_stdin() -> None:
    with pytest.raises(BadInput, match="stdin"):
        load(hostile_graphs.external("weights.bin"))


def test_external_data_inside_the_folder_is_read_and_kept(tmp_path: Path) -> None:
    content = torch.arange(9, dtype=torch.float32).numpy().tobytes()
    (tmp_path / "weights.bin").write_bytes(bytes(8) + content)
    data = hostile_graphs.external("weights.bin", offset="8", length="36")
    network = load(data, folder=tmp_path).network
    assert isinstance(network, OnnxGraph)
    assert content in network.proto_bytes
    assert b"weights.bin" not in network.proto_bytes


@pytest.mark.parametrize(
    ("offset", "length"), [("30", "36"), ("-1", "4"), ("0", "1e9"), ("99999999999999999999", "1")]
)
def test_external_data_past_the_end_is_told(offset: str, length: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(36))
    with pytest.raises(BadInput):
        load(hostile_graphs.external("weights.bin", offset=offset, length=length), folder=tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        hostile_graphs.custom_operator,
        hostile_graphs.custom_operator_inside_if,
        hostile_graphs.compiled_context,
    ],
)
def test_a_graph_that_wants_foreign_code_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(CustomOperators, match=r"my\.ops::Steal|com\.microsoft::EPContext"):
        load(make())


def test_an_empty_file_is_told_as_empty() -> None:
    with pytest.raises(NotAModel, match="0 bytes"):
        load(b"")


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"\x89HDF\r\n\x1a\n", "Keras"),
        (b"PAR1", "Parquet"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"GGUF", "GGUF"),
    ],
)
def test_a_stranger_is_called_by_its_name(start: bytes, word: str) -> None:
    with pytest.raises(NotAModel, match=word):
        load(start + bytes(600))


@pytest.mark.parametrize(
    "data",
    [
        hostile_graphs.safetensors(hostile_graphs.two_floats(), bytes(8), length=1 << 60),
        hostile_graphs.safetensors(hostile_graphs.two_floats(), bytes(8), length=5),
        hostile_graphs.safetensors(hostile_graphs.two_floats(0, 80), bytes(8)),
        hostile_graphs.safetensors(hostile_graphs.two_floats(4, 12), bytes(12)),
        hostile_graphs.safetensors(hostile_graphs.two_floats(shape=(1 << 40, 1 << 40)), bytes(8)),
        hostile_graphs.safetensors(
            hostile_graphs.two_floats(shape=(0, 1 << 61, 1 << 61)), bytes(8)
        ),
        hostile_graphs.safetensors(b'{"a":' + b"[" * 100_000, bytes(8)),
        hostile_graphs.safetensors(b'{"a": 5}', bytes(8)),
    ],
)
def test_a_safetensors_header_that_lies_is_told(data: bytes) -> None:
    with pytest.raises(BadInput):
        load(data, arch="tests.hostile:small")


def test_honest_safetensors_come_in() -> None:
    weights = hostile.small().state_dict()
    from safetensors.torch import save

    artefact = load(save(weights), arch="tests.hostile:small")
    assert isinstance(artefact.network, TorchWeights)
    assert all(artefact.network.state_dict[name].equal(weights[name]) for name in weights)
