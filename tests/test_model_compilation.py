"""Compilers: what they build answers alike; machine code runs only where somebody vouches."""

# long because every way to smuggle a library in has its own test

from __future__ import annotations

import functools
import os
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aitrade_cli.errors import AitradeError
from aitrade_cli.files import sha256
from aitrade_cli.model.archive import pack
from aitrade_cli.model.artefact import NativePackage, dump
from aitrade_cli.model.card import Step
from aitrade_cli.model.compilation import accelerator, ledger
from aitrade_cli.model.compilation.backends import NAMES, backends
from aitrade_cli.model.compilation.instructions import instructions_here, lacking, of_cpuinfo
from aitrade_cli.model.compilation.torchscript import TORCHSCRIPT, hot
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.members import ClimbingPath
from aitrade_cli.model.loading.sniff import NativeCode
from aitrade_cli.model.network import NativeProgram, build
from aitrade_cli.model.runtimes import start
from aitrade_cli.model.runtimes.aoti import (
    OtherProcessor,
    OtherTorch,
    PackageRuntime,
    UntrustedLibrary,
)
from aitrade_cli.model.runtimes.eager import compile_module, graphs_compiled
from aitrade_cli.model.runtimes.interface import CannotRun
from tests.compile_cases import LIBRARY, forbid_loading, members, package
from tests.passes_cases import FEATURES, WINDOW, onnx_model, torch_model


def windows(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, WINDOW, len(FEATURES))).astype(np.float32)


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "aitrade" / "native.json"


def test_every_backend_has_the_name_that_the_option_takes() -> None:
    assert tuple(one.name for one in backends()) == NAMES


def test_torch_backends_say_that_they_take_no_graph() -> None:
    reasons = {one.name: one.why_not(onnx_model()) for one in backends()}
    for name in ("inductor", "aoti", "torchscript", "xla"):
        assert reasons[name] == "torch does not compile ONNX graphs"
    assert reasons["onnxruntime"] is None


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torchscript"])
def test_what_ships_answers_alike_when_it_is_opened_again(name: str) -> None:
    backend = next(one for one in backends() if one.name == name)
    made = backend.build(torch_model(), windows(4))
    again = load(dump(made), name="again")
    assert again.card.runs_on is not None
    expected = start(torch_model())
    for count in (1, 2, 7):
        found = start(again).run(windows(count))
        assert found == pytest.approx(expected.run(windows(count)), abs=1e-5)


def test_a_frozen_script_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    TORCHSCRIPT.build(torch_model(), windows(4))
    assert not list(recwarn)


def recursion(values: Tensor, decay: float) -> Tensor:
    out = torch.zeros_like(values)
    state = torch.zeros(1)
    for at in range(values.shape[0]):
        state = decay * state + values[at]
        out[at] = state[0]
    return out


def test_a_hot_function_computes_the_same() -> None:
    fast, values = hot(recursion), torch.randn(20)
    assert isinstance(fast, torch.jit.ScriptFunction)
    torch.testing.assert_close(fast(values, 0.9), recursion(values, 0.9))


def test_python_that_the_compiler_does_not_speak_stays_python() -> None:
    def stranger(*values: Any, **more: Any) -> Any:
        return {**more, "sum": sum(values)}

    assert hot(stranger) is stranger
    assert hot(sum) is sum


def test_a_stream_of_odd_batches_compiles_two_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Dynamo decides about graphs; which compiler they go to does not matter here.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    # Shape annotations are checked in tests, and Dynamo cannot trace the check.
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(3)).eval()
    network(torch.from_numpy(windows(1)))
    call, before = compile_module(network), graphs_compiled()
    with torch.inference_mode():
        for count in (1, 5, 2, 9, 1, 31, 8):
            call(torch.from_numpy(windows(count)))
    assert graphs_compiled() - before == 2


def test_the_ledger_keeps_what_was_compiled_here(own_state: Path) -> None:
    assert ledger.recorded() == ()
    first, second = "a" * 64, "b" * 64
    for one in (first, second, first):
        ledger.remember(one)
    assert ledger.recorded() == (second, first)
    assert ledger.is_recorded(first)
    assert not ledger.is_recorded("c" * 64)
    assert own_state.stat().st_mode & 0o777 == 0o600
    assert own_state.parent.stat().st_mode & 0o777 == 0o700


def test_a_ledger_that_others_may_write_counts_for_nothing(own_state: Path) -> None:
    ledger.remember("a" * 64)
    own_state.chmod(0o666)
    with pytest.raises(ledger.OpenLedger) as caught:
        ledger.is_recorded("a" * 64)
    assert caught.value.exit_code == 6


def test_a_ledger_behind_a_link_counts_for_nothing(own_state: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "planted.json"
    elsewhere.write_text('["' + "a" * 64 + '"]')
    own_state.parent.mkdir(parents=True)
    own_state.symlink_to(elsewhere)
    with pytest.raises(ledger.OpenLedger):
        ledger.is_recorded("a" * 64)


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": 1}', b"[1, null]", b"\xff" * 10, b"[" * 9999])
def test_a_damaged_ledger_vouches_for_nobody(own_state: Path, text: bytes) -> None:
    own_state.parent.mkdir(parents=True)
    own_state.write_bytes(text)
    own_state.chmod(0o600)
    assert ledger.recorded() == ()
    ledger.remember("a" * 64)
    assert ledger.recorded() == ("a" * 64,)


def test_instruction_sets_are_read_and_the_rest_is_not() -> None:
    text = "processor : 0\nflags : fpu vme sse4_2 avx512f amx_bf16 hypervisor constant_tsc bmi2\n"
    assert of_cpuinfo(text) == ("amx_bf16", "avx512f", "bmi2", "fpu", "sse4_2")
    assert of_cpuinfo("Features : fp asimd i8mm cpuid\n") == ("asimd", "fp", "i8mm")


def test_what_this_processor_has_is_not_lacking() -> None:
    assert lacking(instructions_here()) == ()
    assert lacking((*instructions_here(), "avx9000")) == ("avx9000",)
    assert lacking(()) == ("unknown instructions",)


def test_a_package_is_read_as_data_and_keeps_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_loading(monkeypatch)
    data = package()
    artefact = load(data, name="p.pt2")
    assert isinstance(artefact.network, NativePackage)
    assert not artefact.native_trusted
    assert dump(artefact) == data


def test_a_library_that_nobody_vouches_for_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_loading(monkeypatch)
    data = package()
    with pytest.raises(UntrustedLibrary) as caught:
        start(load(data, name="p.pt2"))
    assert caught.value.exit_code == 6
    assert f"--trust-native {sha256(data)}" in caught.value.hint


def test_a_swapped_library_is_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_loading(monkeypatch)
    ledger.remember(sha256(package()))
    swapped = package(b"\x7fELF something else entirely")
    with pytest.raises(UntrustedLibrary):
        start(load(swapped, trust_native=sha256(package())))


@pytest.mark.parametrize("how", ["recorded", "named", "built here"])
def test_a_library_that_somebody_vouches_for_is_loaded(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    opened: list[str] = []

    def note(path: str) -> Any:
        opened.append(path)
        assert (
            Path(path).stat().st_mode & 0o077 == 0 or Path(path).parent.stat().st_mode & 0o77 == 0
        )
        return lambda window: window[:, 0, :3]

    monkeypatch.setattr("torch._inductor.aoti_load_package", note)
    data = package()
    if how == "recorded":
        ledger.remember(sha256(data))
    artefact = load(data, trust_native=sha256(data).upper() if how == "named" else None)
    if how == "built here":
        artefact = replace(artefact, native_trusted=True)
    assert start(artefact).run(windows(2)).shape == (2, 3)
    assert len(opened) == 1
    assert not Path(opened[0]).exists()  # what was written for loading is gone


def test_another_processor_is_refused_even_with_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_loading(monkeypatch)
    for needs, words in (((*instructions_here(), "avx9000"), "avx9000"), ((), "unknown")):
        data = package(instructions=needs)
        with pytest.raises(OtherProcessor, match=words):
            start(load(data, trust_native=sha256(data)))


def test_another_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_loading(monkeypatch)
    data = package(torch_version="1.0.0")
    with pytest.raises(OtherTorch) as caught:
        start(load(data, trust_native=sha256(data)))
    assert caught.value.exit_code == 5


def test_a_file_cannot_say_that_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_loading(monkeypatch)
    with pytest.raises(UntrustedLibrary):
        start(load(package(), trust_native="0" * 64))


@pytest.mark.parametrize(
    "name",
    [
        "model/data/weights/weight_0",
        "model/data/aotinductor/model/deeper/code.so",
        "model/data/aotinductor/other/code.so",
        "model/data/aotinductor/model/payload.pkl",
        "model/models/model.json",
    ],
)
def test_a_member_that_does_not_belong_is_refused(name: str) -> None:
    with zipfile.ZipFile(BytesIO(package())) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    with pytest.raises(NativeCode, match="does not belong"):
        load(pack({**parts, name: b"x"}))


def test_a_member_that_climbs_is_refused() -> None:
    with zipfile.ZipFile(BytesIO(package())) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    with pytest.raises(ClimbingPath):
        load(pack({**parts, "model/data/aotinductor/model/../../../../evil.so": b"\x7fELF"}))


def test_a_package_without_our_card_is_refused() -> None:
    with pytest.raises(NativeCode, match="no card of ours"):
        load(pack(members()))


def test_a_library_in_any_other_archive_is_still_refused() -> None:
    with pytest.raises(NativeCode):
        load(pack({"archive/models/model.json": b"{}", "archive/x.so": b"\x7fELF"}))
    with pytest.raises(NativeCode):
        load(b"\x7fELF" + bytes(100))


def test_a_package_has_no_weights_and_names_its_parent() -> None:
    with pytest.raises(NativeProgram) as caught:
        build(load(package(), name="p.pt2"))
    assert caught.value.exit_code == 4
    assert "`tiny.pt`" in caught.value.hint
    assert "ab" * 32 in caught.value.hint
    later = load(package(), name="p.pt2")
    orphan = replace(later, card=replace(later.card, history=(Step("x", {}, {}, {}, None),)))
    with pytest.raises(NativeProgram, match="machine code"):
        build(orphan)


@pytest.mark.parametrize("shape", [(2, WINDOW - 1, 4), (2, WINDOW, 5), (0, WINDOW, 4)])
def test_a_shape_that_was_not_compiled_is_refused(shape: tuple[int, ...]) -> None:
    def reached(window: Tensor) -> Tensor:
        pytest.fail(f"called with {window.shape}")

    runtime = PackageRuntime(reached, ("batch", WINDOW, 4), 1)
    with pytest.raises(CannotRun):
        runtime.run(np.zeros(shape, dtype=np.float32))


def test_switches_are_put_back() -> None:
    def now() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return cudnn.benchmark, cudnn.allow_tf32, torch.get_float32_matmul_precision()

    def fail_inside() -> None:
        with accelerator.switched(accelerator.Switches(True, True)):
            assert now() == (True, True, "high")
            raise ZeroDivisionError

    before = now()
    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert now() == before


def test_only_switches_that_pay_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {(False, False): 1.0, (True, False): 0.99, (False, True): 0.4}

    def planted(_call: Any, _wait: Any, switches: accelerator.Switches) -> float:
        return seconds[switches.cudnn_benchmark, switches.tf32]

    monkeypatch.setattr(accelerator, "timed", planted)
    found = accelerator.switches_that_pay(lambda: None, lambda: None)
    assert found == accelerator.Switches(cudnn_benchmark=False, tf32=True)


@pytest.fixture(scope="module")
def compiled() -> bytes:
    """One package that really was compiled."""
    backend = next(one for one in backends() if one.name == "aoti")
    reason = backend.why_not(torch_model())
    if reason is not None:
        pytest.skip(reason)
    return dump(backend.build(torch_model(), windows(4)))


def test_a_real_package_opens_and_answers_alike(compiled: bytes) -> None:
    ledger.remember(sha256(compiled))
    runtime, expected = start(load(compiled, name="real.pt2")), start(torch_model())
    for count in (1, 3, 64):
        found = runtime.run(windows(count))
        assert found == pytest.approx(expected.run(windows(count)), abs=1e-5)
    with pytest.raises(CannotRun):
        runtime.run(windows(2)[:, :-1])
    assert load(compiled).card.runs_on is not None


def test_a_real_package_with_one_byte_changed_is_refused(compiled: bytes) -> None:
    ledger.remember(sha256(compiled))
    with zipfile.ZipFile(BytesIO(compiled)) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    library = next(name for name in parts if name.endswith(".so"))
    assert library.rsplit("/", 1)[0] == LIBRARY.rsplit("/", 1)[0]
    damaged = bytearray(parts[library])
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(AitradeError) as caught:
        start(load(pack({**parts, library: bytes(damaged)})))
    assert caught.value.name == "UntrustedLibrary"
    assert os.environ["XDG_STATE_HOME"]
