"""Torch as it is written, and the same module through `torch.compile`."""

from __future__ import annotations

import inspect
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.interface import CannotRun, first_line

COMPILERS = ("g++", "clang++", "c++")
RECOMPILES_MAX = 8


class TorchModule:
    """Any module, asked with arrays instead of tensors, without autograd.

    Args:
        call: takes one tensor and returns one, or a tuple whose first is meant.
        threads: of torch's pool during a call; None leaves it as it is.
    """

    device = "cpu"

    def __init__(self, call: Callable[[Tensor], Any], threads: int | None = None) -> None:
        self._call = call
        self._threads = threads

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows.

        Raises:
            CannotRun: the module does not take this shape.
        """
        if not window.flags.writeable or not window.flags.c_contiguous:
            window = window.copy()  # torch warns of memory that it may not write to
        with torch.inference_mode(), pool_of(self._threads):
            try:
                output = self._call(torch.from_numpy(window))
            except Exception as error:  # a user's module may raise anything
                raise CannotRun(f"torch stopped: {first_line(error)}") from error
        first = output[0] if isinstance(output, tuple | list) else output
        return first.detach().numpy()


class TorchRuntime(TorchModule):
    """An artefact's module in eval mode on the CPU.

    Args:
        artefact: anything torch can run.
        threads: of torch's pool during a call, >= 1; put back afterwards.
        compiled: run it through ``torch.compile``, which compiles in the first call of
            each kind of shape.
    """

    def __init__(self, artefact: Artefact, threads: int = 1, *, compiled: bool = False) -> None:
        self.name = "compile" if compiled else "eager"
        module = build(artefact)
        super().__init__(compile_module(module) if compiled else module, threads)


def compile_module(module: nn.Module) -> Callable[[Tensor], Any]:
    """The module through Inductor; nothing is compiled before the first call.

    One graph serves every batch above 1, so a stream of odd batches compiles twice; after
    ``RECOMPILES_MAX`` graphs for other reasons the rest runs in eager.
    """
    with warnings.catch_warnings():
        # Inductor imports a part of torch that is written in TorchScript, which is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch._dynamo  # a second of imports that eager does without

        if takes_limit():
            # The overloads that torch declares lag behind its own signature.
            limited: Any = torch.compile
            compiled = limited(module, recompile_limit=RECOMPILES_MAX)
        else:  # an older torch: its own limit for the whole process, 8 as well
            compiled = torch.compile(module)

    def call(window: Tensor) -> Any:  # noqa: ANN401 -- whatever the module returns
        if len(window) > 1:
            torch._dynamo.maybe_mark_dynamic(window, 0)
        return compiled(window)

    return call


def takes_limit() -> bool:
    """Torch lets one module have a limit of its own, not only the whole process."""
    return "recompile_limit" in inspect.signature(torch.compile).parameters


def graphs_compiled() -> int:
    """How many graphs this process has compiled so far."""
    import torch._dynamo.utils  # here already where anything was compiled

    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@contextmanager
def pool_of(threads: int | None) -> Iterator[None]:
    """Torch's thread count is the process's own; leave it as it was."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def why_no_compiler() -> str | None:
    """What `torch.compile` lacks on this machine; `None` where it can work."""
    if sys.platform == "win32":
        return None  # it finds MSVC by itself, or says so
    if any(map(shutil.which, COMPILERS)):
        return None
    return f"no C++ compiler, one of {', '.join(COMPILERS)}"
