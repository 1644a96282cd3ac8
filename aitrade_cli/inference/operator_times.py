"""How long each kind of operator takes in a call, as the runtime's own profiler has it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aitrade_cli.inference.model_profile_report import OperatorLine
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.runtimes.interface import CannotRun, first_line

WARM_UP = 5
REPEATS = 5
SECONDS = 3.0  # after which no more repeats begin: thousands of operators take seconds to sum up
OPERATORS = ("aten::", "mkldnn", "prim")


class Turn(NamedTuple):
    """Operators under the profiler, and the same call without it a moment before or after.

    Attributes:
        operators: of one call, shares not filled in.
        call_us: of one call that nobody watched, in the same process.
    """

    operators: list[OperatorLine]
    call_us: float

    @property
    def disturbed(self) -> float:
        """The turn in which both took least is the one that neighbours disturbed least."""
        return sum(line.microseconds for line in self.operators) + self.call_us


def torch_operators(artefact: Artefact, window: np.ndarray, calls: int) -> Turn:
    """Operators of the torch module in eager, with one thread, their own time only.

    Raises:
        CannotRun: the module does not take this window.
    """
    from torch.profiler import ProfilerActivity, profile

    from aitrade_cli.model.runtimes.eager import TorchRuntime

    runtime = TorchRuntime(artefact, threads=1)
    for _ in range(WARM_UP):
        runtime.run(window)
    turns: list[Turn] = []
    end = time.monotonic() + SECONDS
    while not turns or (len(turns) < REPEATS and time.monotonic() < end):
        plain = call_us(lambda: runtime.run(window), calls)
        with (
            silenced(),
            profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler,
        ):
            for _ in range(calls):
                runtime.run(window)
        lines = [
            OperatorLine(event.key, event.count / calls, event.self_cpu_time_total / calls, 0.0)
            for event in profiler.key_averages()
            if event.self_cpu_time_total > 0 and event.key.startswith(OPERATORS)
        ]
        turns.append(Turn(lines, plain))
    return min(turns, key=lambda turn: turn.disturbed)


def call_us(call: Callable[[], object], calls: int) -> float:
    """Microseconds of one call."""
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begun) / calls * 1e6


@contextmanager
def silenced() -> Iterator[None]:
    """Torch's profiler tells stderr that it starts and stops, past Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def torch_outputs(artefact: Artefact, window: np.ndarray) -> list[int]:
    """Bytes of what each innermost layer gives in one call."""
    import torch

    from aitrade_cli.model.network import build

    module, sizes = build(artefact), []

    def note(_: Any, __: Any, made: Any) -> None:  # noqa: ANN401 -- whatever a layer returns
        tensors = made if isinstance(made, tuple | list) else (made,)
        sizes.append(sum(one.nbytes for one in tensors if isinstance(one, torch.Tensor)))

    layers = [layer for layer in module.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.inference_mode():
            module(torch.from_numpy(window.copy()))
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def onnx_operators(proto_bytes: bytes, window: np.ndarray, calls: int) -> Turn:
    """Nodes of the graph in ONNX Runtime, with one thread, by kind.

    Raises:
        CannotRun: ONNX Runtime refuses the graph or the window.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="aitrade-") as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            bare = onnxruntime.InferenceSession(
                proto_bytes, options, providers=["CPUExecutionProvider"]
            )
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "run")
            session = onnxruntime.InferenceSession(
                proto_bytes, options, providers=["CPUExecutionProvider"]
            )
            given = {session.get_inputs()[0].name: window}
            for _ in range(WARM_UP):
                session.run(None, given)
                bare.run(None, given)
            plain = []
            for _ in range(REPEATS):
                plain.append(call_us(lambda: bare.run(None, given), calls))
                for _ in range(calls):
                    session.run(None, given)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        except Exception as error:  # its exceptions share no base class of their own
            raise CannotRun(f"ONNX Runtime stopped: {first_line(error)}") from error
    turns = [Turn(*both) for both in zip(nodes_in(events, calls)[-REPEATS:], plain, strict=True)]
    return min(turns, key=lambda turn: turn.disturbed)


def nodes_in(events: list[dict[str, Any]], calls: int) -> list[list[OperatorLine]]:
    """Nodes by kind, of every ``calls`` runs in a row; the runs left over are the first ones."""
    starts = sorted(event["ts"] for event in events if event.get("name") == "model_run")
    kept = starts[-(len(starts) // calls) * calls :] if len(starts) >= calls else starts
    edges = [*kept[::calls], float("inf")]
    repeats: list[dict[str, list[float]]] = [defaultdict(list) for _ in edges[:-1]]
    for event in events:
        kind = event.get("args", {}).get("op_name")
        timed = str(event.get("name", "")).endswith("kernel_time")
        place = bisect_right(edges, event.get("ts", -1)) - 1
        if event.get("cat") == "Node" and kind and timed and place >= 0:
            repeats[place][kind].append(float(event["dur"]))
    return [
        [OperatorLine(k, len(v) / calls, sum(v) / calls, 0.0) for k, v in spent.items()]
        for spent in repeats
    ]
