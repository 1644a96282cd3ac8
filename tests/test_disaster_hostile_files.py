"""Every kind of hostile model file: refused, named, and nothing of it runs.

A guard here has a twin that reads the same file the careless way and finds the mark.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from aitrade_cli.errors import AitradeError, BadInput, Refused
from aitrade_cli.model.artefact import Exported, OnnxGraph, Script, TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.limits import TooLarge
from aitrade_cli.model.loading.members import ClimbingPath, Truncated, TwoOfOne, ZipBomb
from aitrade_cli.model.loading.operators import CustomOperators
from aitrade_cli.model.loading.pickled_module import PickledModule, WrongTrust
from aitrade_cli.model.loading.program_json import CodeInProgram
from aitrade_cli.model.loading.script import ScriptReachesOut, shared_probe
from aitrade_cli.model.loading.sniff import NativeCode, NotAModel
from aitrade_cli.model.network import build
from tests import hostile
from tests.shell import aitrade

Careless = Callable[[bytes], object]


def unpickled(data: bytes) -> object:
    return torch.load(io.BytesIO(data), weights_only=False)


def exported_program(data: bytes) -> object:
    return torch.export.load(io.BytesIO(data))


def exported_module(data: bytes) -> object:
    return torch.export.load(io.BytesIO(data)).module()


def script_run(data: bytes) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(data))(torch.zeros(1))


RUNNING_FILES: dict[str, tuple[Callable[[Path], bytes], type[AitradeError], Careless]] = {
    "a pickled module": (hostile.pickled_module, PickledModule, unpickled),
    "example inputs of .pt2": (hostile.exported_with_pickle, PickledModule, exported_program),
    "a shape in .pt2": (hostile.exported_with_expression, CodeInProgram, exported_program),
    "an input's name in .pt2": (hostile.exported_with_argument, CodeInProgram, exported_module),
    "TorchScript that writes": (hostile.script_that_writes, ScriptReachesOut, script_run),
    **{
        f"a raw pickle of protocol {protocol}": (
            lambda mark, protocol=protocol: hostile.raw_pickle(mark, protocol),
            PickledModule,
            pickle.loads,
        )
        for protocol in range(6)
    },
}
running = pytest.mark.parametrize("kind", RUNNING_FILES)


@pytest.fixture(autouse=True)
def silent_torch() -> Iterator[None]:
    """Torch logs the traceback of what the careless twins provoke."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module", autouse=True)
def one_probe() -> Iterator[None]:
    """TorchScript is tried in another process; one for the whole file saves seconds each."""
    with shared_probe():
        yield


@running
def test_a_file_that_would_run_code_is_refused_and_does_not_run(kind: str, tmp_path: Path) -> None:
    make, error, _ = RUNNING_FILES[kind]
    mark = tmp_path / "mark"
    with pytest.raises(error) as refusal:
        load(make(mark))
    assert not mark.exists()
    assert refusal.value.exit_code == 6
    assert refusal.value.hint


@running
def test_the_same_file_runs_its_code_where_it_is_read_carelessly(kind: str, tmp_path: Path) -> None:
    make, _, careless = RUNNING_FILES[kind]
    mark = tmp_path / "mark"
    data = make(mark)
    with contextlib.suppress(Exception):  # after the mark is made, anything may fail
        careless(data)
    assert mark.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_refusal_names_what_the_pickle_wants(protocol: int, tmp_path: Path) -> None:
    with pytest.raises(PickledModule, match=r"`posix.mkdir`"):
        load(hostile.raw_pickle(tmp_path / "mark", protocol))


def test_the_hint_is_the_flag_that_lets_this_very_file_in(tmp_path: Path) -> None:
    data = hostile.pickled_module(tmp_path / "mark")
    with pytest.raises(PickledModule) as refusal:
        load(data)
    assert f"`--trust-pickle {hashlib.sha256(data).hexdigest()}`" in refusal.value.hint


def test_a_trusted_pickle_runs_and_the_history_says_so() -> None:
    data = hostile.saved(hostile.small())
    name = hashlib.sha256(data).hexdigest()
    artefact = load(data, arch="tests.hostile:small", trust_pickle=name.upper())
    step = artefact.card.history[0]
    assert (step.command, step.settings["sha256"]) == ("trust-pickle", name.upper())
    assert "tests.hostile.Small" in step.settings["wanted"]
    window = torch.ones(2, 4, 3)
    assert build(artefact)(window).equal(hostile.small()(window))


def test_trust_in_another_file_opens_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(WrongTrust):
        load(hostile.pickled_module(mark), trust_pickle="0" * 64)
    assert not mark.exists()


def test_an_operator_that_is_not_torchs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CustomOperators, match=r"torch\.os\.mkdir"):
        load(hostile.exported_with_operator(tmp_path / "mark"))


@pytest.mark.parametrize(
    "target", ["torch.ops.aten.from_file.default", "torch.ops.mine.op.default", "os.system"]
)
def test_operators_that_touch_files_are_refused(target: str) -> None:
    def edit(program: dict) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(CustomOperators, match=target.replace(".", r"\.")):
        load(hostile.edited_program(edit))


def test_guards_of_an_exported_program_are_dropped(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def edit(program: dict) -> None:
        program["guards_code"] = [f"__import__('os').mkdir({str(mark)!r})"]

    artefact = load(hostile.edited_program(edit))
    assert build(artefact)(torch.zeros(2, 5, 3)).shape == (2, 3)
    assert not mark.exists()


@pytest.mark.parametrize(
    "make", [hostile.exported_with_library, hostile.exported_with_disguised_library]
)
def test_a_native_library_inside_is_named(make: Callable[[], bytes]) -> None:
    with pytest.raises(NativeCode, match=r"wrapper\.so|notes\.txt"):
        load(make())


@pytest.mark.parametrize("prefix", ["custom_obj_0", "opaque_obj_0"])
def test_objects_of_foreign_classes_are_refused(prefix: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = {f"data/constants/{prefix}": hostile.raw_pickle(mark, 4)}
    with pytest.raises(Refused, match=prefix):
        load(hostile.with_members(hostile.exported(), **content))
    assert not mark.exists()


@pytest.mark.parametrize("magic", [b"\x7fELF", b"MZ\x90\x00", b"\xcf\xfa\xed\xfe"])
def test_a_library_instead_of_a_model_is_refused(magic: bytes) -> None:
    with pytest.raises(NativeCode):
        load(magic + bytes(200))


def test_real_files_of_each_kind_are_let_in() -> None:
    exported = load(hostile.exported())
    scripted = load(hostile.scripted())
    window = torch.ones(2, 5, 3)
    wanted = hostile.small()(window)
    assert isinstance(exported.network, Exported)
    assert isinstance(scripted.network, Script)
    torch.testing.assert_close(build(exported)(window), wanted)
    torch.testing.assert_close(build(scripted)(window), wanted)


def test_torchscript_comes_in_with_a_note_that_it_is_deprecated() -> None:
    step = load(hostile.scripted()).card.history[0]
    assert step.command == "read-torchscript"
    assert "deprecated" in step.settings["note"]


def test_torchscript_that_crashes_its_reader_is_told_in_one_line() -> None:
    members = hostile.members_of(hostile.scripted())
    members["data.pkl"] = members["data.pkl"][:40] + b"."
    with pytest.raises(BadInput, match="TorchScript"):
        load(hostile.zipped(members))


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
        load(hostile.external(location), folder=folder)


def test_external_data_behind_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(36))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "inside").symlink_to(tmp_path / "secret")
    with pytest.raises(ClimbingPath, match="link"):
        load(hostile.external("inside"), folder=folder)


def test_an_address_in_memory_is_no_external_data() -> None:
    tag = hostile.external("*/_ORT_MEM_ADDR_/*", offset="4096", length="36")
    with pytest.raises(ClimbingPath):
        load(tag, folder=Path())


def test_external_data_is_not_read_for_stdin() -> None:
    with pytest.raises(BadInput, match="stdin"):
        load(hostile.external("weights.bin"))


def test_external_data_inside_the_folder_is_read_and_kept(tmp_path: Path) -> None:
    content = torch.arange(9, dtype=torch.float32).numpy().tobytes()
    (tmp_path / "weights.bin").write_bytes(bytes(8) + content)
    data = hostile.external("weights.bin", offset="8", length="36")
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
        load(hostile.external("weights.bin", offset=offset, length=length), folder=tmp_path)


@pytest.mark.parametrize(
    "make", [hostile.custom_operator, hostile.custom_operator_inside_if, hostile.compiled_context]
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
        hostile.safetensors(hostile.two_floats(), bytes(8), length=1 << 60),
        hostile.safetensors(hostile.two_floats(), bytes(8), length=5),
        hostile.safetensors(hostile.two_floats(0, 80), bytes(8)),
        hostile.safetensors(hostile.two_floats(4, 12), bytes(12)),
        hostile.safetensors(hostile.two_floats(shape=(1 << 40, 1 << 40)), bytes(8)),
        hostile.safetensors(hostile.two_floats(shape=(0, 1 << 61, 1 << 61)), bytes(8)),
        hostile.safetensors(b'{"a":' + b"[" * 100_000, bytes(8)),
        hostile.safetensors(b'{"a": 5}', bytes(8)),
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


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (hostile.pickled_module, 6),
        (hostile.exported_with_pickle, 6),
        (lambda _: hostile.bomb(), 6),
        (lambda _: hostile.saved({})[:100], 4),
        (lambda _: b"", 4),
    ],
)
def test_inspect_refuses_in_one_line(
    make: Callable[[Path], bytes], code: int, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    done = aitrade("inspect", "-", stdin=make(mark))
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"error: ")
    assert not mark.exists()
