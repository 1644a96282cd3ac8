"""The process that runs one variant: `python -m aitrade_cli.inference.worker`.

One process per variant, because runtimes with thread pools of their own ruin each
other's latency inside one. It reads one JSON request a line on stdin and answers with
one JSON line on stdout; while it waits it is blocked in that read and takes no CPU time.
The end of stdin ends it, so it never outlives its parent for longer than one request.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from io import BufferedIOBase
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import AitradeError, BadInput, Missing
from aitrade_cli.system.host import peak_memory_bytes, reset_peak_memory

BATCHES_IN_TURN: Final = 16  # different real inputs, so that no call repeats the one before


@runtime_checkable
class Runnable(Protocol):
    """All that is asked of a runtime."""

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray: ...


@runtime_checkable
class Opened(Protocol):
    """A variant that is ready to run."""

    @property
    def runtime(self) -> Runnable: ...
    @property
    def name(self) -> str: ...  # of the runtime, once `auto` was resolved
    @property
    def device(self) -> str: ...
    @property
    def windows(self) -> Float32[np.ndarray, "n time feature"]: ...
    @property
    def inputs(self) -> str: ...  # where the windows come from: given, sample or random


class Variants:
    """What a worker holds: at most one opened variant, and its inputs batch by batch."""

    def __init__(self, opener: Callable[[dict[str, Any]], Opened]) -> None:
        self.opener = opener
        self.opened: Opened | None = None
        self.batches: dict[int, list[Float32[np.ndarray, "batch time feature"]]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks and say what came of it."""
        match request["do"]:
            case "open":
                return self.open(request)
            case "try":
                return self.attempt(request["batch"], request["seconds"])
            case "run":
                batch, warm, calls = request["batch"], request["warm"], request["calls"]
                return {"ns": self.timed(batch, warm, calls)}
            case "memory":
                return {"peak_bytes": peak_memory_bytes()}
            case other:
                raise BadInput(f"a worker cannot do `{other}`")

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        self.opened = self.opener(request)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "runtime": self.opened.name,
            "inputs": self.opened.inputs,
            "device": self.opened.device,
            "shape": list(self.opened.windows.shape),
        }

    def attempt(self, batch: int, seconds: float) -> dict[str, Any]:
        """Run unmeasured until it is warm: what compiles, compiles now."""
        reset_peak_memory()
        first = self.timed(batch, 0, 1)[0]
        if first > seconds * 1e9:
            # A call this long may have been a compilation; only a second one tells.
            return {"first_ns": first, "call_ns": self.timed(batch, 0, 1)[0]}
        times: list[int] = []
        ends = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < ends:
            times += self.timed(batch, 0, 1)
        return {"first_ns": first, "call_ns": int(np.median(times[len(times) // 2 :]))}

    def timed(self, batch: int, warm: int, calls: int) -> list[int]:
        """Nanoseconds of each call, garbage collector off. A result must come back whole."""
        if self.opened is None:
            raise BadInput("nothing is open in this worker")
        run = self.opened.runtime.run
        inputs = self.inputs_of(batch)
        clock = time.perf_counter_ns
        times = [0] * calls
        gc.disable()
        try:
            for turn in range(warm):
                run(inputs[turn % len(inputs)])
            for turn in range(calls):
                window = inputs[turn % len(inputs)]
                began = clock()
                run(window)
                times[turn] = clock() - began
        finally:
            gc.enable()
        return times

    def inputs_of(self, batch: int) -> list[Float32[np.ndarray, "batch time feature"]]:
        assert self.opened is not None  # `timed` is the only caller
        if batch not in self.batches:
            self.batches[batch] = batches_of(self.opened.windows, batch)
        return self.batches[batch]


def batches_of(
    windows: Float32[np.ndarray, "n time feature"], batch: int
) -> list[Float32[np.ndarray, "batch time feature"]]:
    """Up to ``BATCHES_IN_TURN`` different batches of neighbouring windows, each in one piece."""
    turns = max(1, min(BATCHES_IN_TURN, len(windows) // batch))
    return [
        np.ascontiguousarray(
            np.take(windows, range(at * batch, at * batch + batch), 0, mode="wrap")
        )
        for at in range(turns)
    ]


def serve(requests: Iterable[bytes], answers: BufferedIOBase, variants: Variants) -> None:
    """Answer until the requests end. A failure is an answer too, and ends nothing."""
    for line in requests:
        try:
            answer: dict[str, Any] = variants.answer(json.loads(line))
        except AitradeError as error:
            answer = {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
        # A runtime may fail in any way at all, and the parent must hear which.
        except Exception as error:
            answer = {"error": first_line(error), "hint": "", "exit_code": Missing.exit_code}
        answer["cpu_seconds"] = time.process_time()
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def private_streams() -> tuple[BufferedIOBase, BufferedIOBase]:
    """Keep the pipe for the protocol; whatever a runtime prints goes to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, answers


def main() -> None:
    """Serve the parent that started this process."""
    from aitrade_cli.inference.opening import open_variant

    requests, answers = private_streams()
    try:
        serve(requests, answers, Variants(open_variant))
    except BrokenPipeError:
        sys.exit(0)  # the parent has gone; nobody is left to tell


if __name__ == "__main__":
    main()
