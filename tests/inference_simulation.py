"""Workers whose calls take a planted time: measuring without a stopwatch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aitrade_cli.inference.processes import VariantFailed
from aitrade_cli.inference.rounds import Launch, Station
from aitrade_cli.inference.variants import Variant


class Simulated:
    """A worker whose calls take a planted time, times noise of its own."""

    def __init__(self, name: str, call_us: float, noise: float, fails: str | None = None) -> None:
        self.name = name
        self.call_us = call_us
        self.noise = noise
        self.fails = fails  # the request it fails on
        self.cpu_seconds = 0.0
        self.closed = False
        self.log: list[tuple[str, int]] = []
        self.rng = np.random.default_rng(sum(name.encode()))
        self.waiting: list[Mapping[str, Any]] = []

    def send(self, request: Mapping[str, Any]) -> None:
        self.waiting.append(request)

    def receive(self, *, seconds: float) -> dict[str, Any]:
        assert seconds > 0
        return self.answer(self.waiting.pop(0))

    def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        self.send(request)
        return self.receive(seconds=seconds)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.fails == request["do"]:
            raise VariantFailed(self.name, "it broke")
        self.log.append((request["do"], request.get("batch", 0)))
        call_ns = 1e3 * self.call_us * request.get("batch", 1)
        match request["do"]:
            case "open":
                return {
                    "seconds": 0.5,
                    "runtime": request["runtime"],
                    "inputs": "sample",
                    "device": "cpu",
                    "shape": [256, 32, 8],
                }
            case "try":
                return {"first_ns": int(3 * call_ns), "call_ns": int(call_ns)}
            case "run":
                spread = self.rng.lognormal(0.0, self.noise, size=request["calls"])
                return {"ns": (call_ns * spread).astype(int).tolist()}
            case _:
                return {"peak_bytes": 100_000_000}

    def close(self, *, gently: bool = True) -> None:
        del gently
        self.closed = True


def simulate(
    call_us: Mapping[str, float], noise: float = 0.02, fails: Mapping[str, str] | None = None
) -> tuple[Launch, list[Simulated]]:
    """A launcher of simulated workers, and those it launched.

    Args:
        call_us: what one window takes in each variant; the control takes what its own does.
        noise: log-normal spread of single calls.
        fails: for a variant the request it fails on.
    """
    started: list[Simulated] = []

    def launch(variant: Variant) -> Station:
        plain = variant.name.removesuffix(" (again)")
        wrong = (fails or {}).get(variant.name)
        started.append(Simulated(variant.name, call_us[plain], noise, wrong))
        return started[-1]

    return launch, started
