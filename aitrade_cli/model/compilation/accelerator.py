"""cuDNN's search, TF32 and tensor cores: three switches of the process, set only where they pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import torch

PAYS: Final = 1.03  # a switch that gains less stays off
ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Switches:
    """What torch may do on CUDA.

    Attributes:
        cudnn_benchmark: time every convolution algorithm once a shape, keep the fastest.
        tf32: multiply float32 matrices with 10 bits of fraction, on tensor cores.
    """

    cudnn_benchmark: bool = False
    tf32: bool = False


def why_no_cuda() -> str | None:
    """The reason these switches do nothing here; None where they can."""
    if not torch.cuda.is_available():
        return "no CUDA device answers: cuDNN, TF32 and tensor cores are an NVIDIA GPU's"
    return None


@contextmanager
def switched(switches: Switches) -> Iterator[None]:
    """Set the switches, and put them back as they were."""
    before = (
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
    )
    torch.backends.cudnn.benchmark = switches.cudnn_benchmark
    torch.backends.cudnn.allow_tf32 = switches.tf32
    torch.set_float32_matmul_precision("high" if switches.tf32 else "highest")
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before[:2]
        torch.set_float32_matmul_precision(before[2])


def switches_that_pay(call: Callable[[], Any], wait: Callable[[], None]) -> Switches:
    """Try each switch alone and keep those that make the call faster.

    Args:
        call: one call of the model on the device.
        wait: until the device has done all it was asked, e.g. `torch.cuda.synchronize`.
    """
    plain = timed(call, wait, Switches())
    search = timed(call, wait, Switches(cudnn_benchmark=True))
    tf32 = timed(call, wait, Switches(tf32=True))
    return Switches(plain / search > PAYS, plain / tf32 > PAYS)


def timed(call: Callable[[], Any], wait: Callable[[], None], switches: Switches) -> float:
    """Median seconds of a call under the switches, the device waited for."""
    with switched(switches), torch.inference_mode():
        for _ in range(3):
            call()
        times = []
        for _ in range(ROUNDS):
            wait()
            began = time.perf_counter()
            call()
            wait()
            times.append(time.perf_counter() - began)
    return median(times)
