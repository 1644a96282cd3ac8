"""The worker: what it answers, and one real process with a real ONNX file."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from aitrade_cli.inference.latency import Effort, Variant, VariantFailed, measure
from aitrade_cli.inference.opening import NoInputs, open_variant, random_windows, windows_for
from aitrade_cli.inference.processes import COMMAND, Worker
from aitrade_cli.inference.worker import BATCHES_IN_TURN, Variants, batches_of, serve
from aitrade_cli.model.artefact import Artefact, OnnxGraph, dump
from aitrade_cli.model.card import Card, Preprocessing, Sample, TensorSpec
from aitrade_cli.model.series import Series

TIME, FEATURES = 4, 3
INPUT = TensorSpec("window", ("batch", TIME, FEATURES))


def graph_bytes() -> bytes:
    """Flatten a window and multiply it with a matrix: three logits."""
    weight = np.random.default_rng(0).normal(size=(TIME * FEATURES, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["window"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", TIME, FEATURES])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def series(rows: int) -> Series:
    rng = np.random.default_rng(1)
    price = np.exp(rng.normal(0, 0.01, size=rows).cumsum())
    stamps = np.arange(rows, dtype=np.int64)
    return Series(stamps, price, price, rng.normal(size=(rows, FEATURES)).astype(np.float32))


def card(*, sample: bool = True) -> Card:
    names = tuple(f"f{at}" for at in range(FEATURES))
    zeros, ones = (0.0,) * FEATURES, (1.0,) * FEATURES
    return Card(
        inputs=(INPUT,),
        outputs=(TensorSpec("logits", ("batch", 3)),),
        preprocessing=Preprocessing(names, TIME, zeros, ones),
        sample=Sample(series(60), 20, 30, "TINY", "0" * 64) if sample else None,
    )


def tiny(*, sample: bool = True) -> bytes:
    return dump(Artefact(card(sample=sample), OnnxGraph(graph_bytes())))


def request(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "do": "open",
        "path": str(path),
        "name": "tiny",
        "runtime": "auto",
        "threads": 1,
        "arch": None,
        "trust_pickle": None,
        "length": None,
        "windows": None,
        "seed": 0,
        **more,
    }


@dataclass
class Counting:
    """A runtime that only remembers what it was asked."""

    seen: list[np.ndarray] = field(default_factory=list)

    def run(self, window: np.ndarray) -> np.ndarray:
        self.seen.append(window)
        return window[:, 0, :]


@dataclass
class OpenedTiny:
    runtime: Counting
    name: str = "counting"
    device: str = "cpu"
    inputs: str = "given"
    windows: np.ndarray = field(
        default_factory=lambda: np.arange(240, dtype=np.float32).reshape(20, TIME, FEATURES)
    )


def opened() -> tuple[Variants, Counting]:
    runtime = Counting()
    variants = Variants(lambda _: OpenedTiny(runtime))
    variants.answer({"do": "open"})
    return variants, runtime


def test_a_run_makes_warm_calls_and_then_times_the_others() -> None:
    variants, runtime = opened()
    answer = variants.answer({"do": "run", "batch": 5, "warm": 3, "calls": 7})
    assert len(answer["ns"]) == 7
    assert all(ns >= 0 for ns in answer["ns"])
    assert [window.shape for window in runtime.seen] == [(5, TIME, FEATURES)] * 10


def test_neighbouring_calls_see_different_windows() -> None:
    variants, runtime = opened()
    variants.answer({"do": "run", "batch": 5, "warm": 0, "calls": 4})
    firsts = [window[0, 0, 0] for window in runtime.seen]
    assert len(set(firsts)) == 4


def test_trying_tells_the_first_call_apart_from_the_rest() -> None:
    variants, runtime = opened()
    answer = variants.answer({"do": "try", "batch": 1, "seconds": 0.001})
    assert set(answer) == {"first_ns", "call_ns"}
    assert len(runtime.seen) >= 2


def test_failures_are_answers_and_do_not_end_the_worker() -> None:
    class Broken:
        def run(self, window: np.ndarray) -> np.ndarray:  # noqa: ARG002
            raise RuntimeError("\n no kernel\nsecond line")

    variants = Variants(lambda _: OpenedTiny(Broken()))  # type: ignore[arg-type]
    lines = [
        {"do": "run", "batch": 1, "warm": 0, "calls": 1},
        {"do": "open"},
        {"do": "run", "batch": 1, "warm": 0, "calls": 1},
        {"do": "dance"},
        {"do": "memory"},
    ]
    requests = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    answers = io.BytesIO()
    serve(requests, answers, variants)
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert told[0]["error"] == "nothing is open in this worker"
    assert told[1]["inputs"] == "given"
    assert told[2]["error"] == "RuntimeError: no kernel"
    assert "`dance`" in told[3]["error"]
    assert told[4]["peak_bytes"] > 0
    assert all(answer["cpu_seconds"] >= 0 for answer in told)


@given(n=st.integers(1, 40), batch=st.integers(1, 90))
def test_batches_are_whole_contiguous_and_made_of_real_windows(n: int, batch: int) -> None:
    windows = np.arange(n * 6, dtype=np.float32).reshape(n, 2, 3)
    made = batches_of(windows, batch)
    assert 1 <= len(made) <= BATCHES_IN_TURN
    for one in made:
        assert one.shape == (batch, 2, 3)
        assert one.flags.c_contiguous
        steps = np.diff(one[:, 0, 0].astype(int)) % (n * 6)
        assert np.all(steps == 6 % (n * 6))


def test_inputs_come_from_the_bars_inside_the_artefact() -> None:
    windows, where = windows_for(card(), request(Path("x")))
    assert where == "sample"
    expected = card().sample
    assert expected is not None
    assert np.array_equal(windows, expected.evaluation.windows(TIME))


def test_another_length_is_cut_from_the_same_bars() -> None:
    windows, where = windows_for(card(), request(Path("x"), length=9))
    assert (windows.shape[1:], where) == ((9, FEATURES), "sample")


def test_inputs_that_are_given_come_first(tmp_path: Path) -> None:
    given_windows = np.ones((2, TIME, FEATURES), dtype=np.float32)
    np.save(tmp_path / "windows.npy", given_windows)
    asked = request(Path("x"), windows=str(tmp_path / "windows.npy"))
    windows, where = windows_for(card(), asked)
    assert where == "given"
    assert np.array_equal(windows, given_windows)


def test_without_bars_the_inputs_are_seeded_noise() -> None:
    windows, where = windows_for(card(sample=False), request(Path("x"), seed=3))
    assert where == "random"
    assert np.array_equal(windows, random_windows(TIME, FEATURES, 3))
    assert not np.array_equal(windows, random_windows(TIME, FEATURES, 4))


@pytest.mark.parametrize(
    "inputs", [(), (TensorSpec("x", ("batch", 3)),), (TensorSpec("x", ("batch", "time", 3)),)]
)
def test_a_model_that_says_nothing_of_its_inputs_cannot_be_measured(
    inputs: tuple[TensorSpec, ...],
) -> None:
    bare = Card(inputs=inputs, outputs=())
    with pytest.raises(NoInputs):
        windows_for(bare, request(Path("x")))


def test_an_onnx_worker_opens_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny())
    probe = (
        "import json, sys; from aitrade_cli.inference.opening import open_variant;"
        f"opened = open_variant(json.loads('''{json.dumps(request(path))}'''));"
        "print(opened.name, opened.inputs, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["onnxruntime", "sample", "False"]


def test_the_opened_model_answers_as_onnx_itself_does(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny())
    ready = open_variant(request(path))
    batch = np.ascontiguousarray(ready.windows[:5])
    weight = numpy_helper.to_array(onnx.load_from_string(graph_bytes()).graph.initializer[0])
    expected = batch.reshape(5, -1) @ weight
    assert np.allclose(ready.runtime.run(batch), expected, atol=1e-5)


def test_two_real_processes_measure_a_tiny_onnx_model() -> None:
    said: list[str] = []
    report = measure(
        [Variant("tiny", tiny()), Variant("broken", b"no model at all")],
        batches=(1, 3),
        effort=Effort(rounds=6, seconds=0.03),
        say=said.append,
    )
    assert [(one.variant, one.batch) for one in report.latencies] == [("tiny", 1), ("tiny", 3)]
    one = report.latency("tiny")
    assert (one.runtime, one.device, one.inputs) == ("onnxruntime", "cpu", "sample")
    assert one.runs >= 6
    assert one.latency_us_p50 > 0
    assert one.latency_us_p50_interval.low <= one.latency_us_p50_interval.high
    assert one.peak_memory_bytes > 10_000_000
    assert report.noise[0].control is not None
    assert [lost.variant for lost in report.not_run] == ["broken"]
    assert any("batch 3" in line for line in said)


def test_nothing_that_opens_is_an_error_with_the_reason() -> None:
    with pytest.raises(VariantFailed, match="`broken`"):
        measure([Variant("broken", b"no model at all")], control=False)


def test_a_numpy_in_the_current_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('a stranger ran')", encoding="utf-8")
    model = tmp_path / "tiny.onnx"
    model.write_bytes(tiny())
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        with Worker("tiny", command=COMMAND) as worker:
            answer = worker.ask(request(model), seconds=120.0)
    finally:
        os.chdir(before)
    assert answer["inputs"] == "sample"


def test_what_a_runtime_prints_does_not_disturb_the_protocol(tmp_path: Path) -> None:
    model = tmp_path / "tiny.onnx"
    model.write_bytes(tiny())
    noisy = (
        "import os, aitrade_cli.inference.opening as opening\n"
        "real = opening.open_variant\n"
        "def loud(request):\n"
        "    os.write(1, b'loading...\\n'); print('more'); return real(request)\n"
        "opening.open_variant = loud\n"
        "from aitrade_cli.inference.worker import main\nmain()\n"
    )
    with Worker("tiny", command=(sys.executable, "-P", "-c", noisy)) as worker:
        assert worker.ask(request(model), seconds=120.0)["runtime"] == "onnxruntime"


def test_a_worker_ends_when_its_parent_is_gone() -> None:
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(b"", timeout=120.0)
    assert (process.returncode, out) == (0, b"")
