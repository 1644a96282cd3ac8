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
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from aitrade_cli.errors import AitradeError, BadInput, Refused
from aitrade_cli.model.artefact import Exported, Script
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.operators import CustomOperators
from aitrade_cli.model.loading.pickled_module import PickledModule, WrongTrust
from aitrade_cli.model.loading.program_json import CodeInProgram
from aitrade_cli.model.loading.script import ScriptReachesOut, shared_probe
from aitrade_cli.model.loading.sniff import NativeCode
from aitrade_cli.model.network import build
from tests import hostile
from tests.warm import aitrade

Careless = Callable[[bytes], object]


def unpickled(data: bytes) -> object:
    return torch.load(io.BytesIO(data), weights_only=False)


def exported_program(data: bytes) -> object:
    return torch.export.load(io.BytesIO(data))


def exported_module(data: bytes) -> torch.nn.Module:
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
    "a container in .pt2": (hostile.exported_with_container, CodeInProgram, exported_program),
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
def test_a_file_that_would_run_code_is_refused_and_does_not_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    make, error, _ = RUNNING_FILES[kind]
    mark = tmp_path / "mark"
    with pytest.raises(error) as refusal:
        load(make(mark))
    assert not mark.exists()
    assert refusal.value.exit_code == 6
    assert refusal.value.hint


@running
def test_the_same_file_runs_its_code_where_it_is_read_carelessly(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
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
    artefact = load(hostile.exported_with_guard(mark))
    assert build(artefact)(torch.zeros(2, 5, 3)).shape == (2, 3)
    assert not mark.exists()


def test_torch_itself_runs_guards(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    exported_module(hostile.exported_with_guard(mark))(torch.zeros(2, 5, 3))
    assert mark.exists()


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
