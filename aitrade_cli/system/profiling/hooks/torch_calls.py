"""Hooks around what a training step is made of: loader, forward, backward, optimizer, copies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from aitrade_cli.system.profiling.hooks.recorder import Recorder, is_user_file, user_frame

SYNCING: Final = ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__")
COPYING: Final = ("to", "float", "double", "half", "bfloat16", "cuda", "clone", "contiguous")
MAKING: Final = ("tensor", "as_tensor")


class TorchCalls:
    """Puts hooks into torch, and takes those out that its compiler would trace into."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.facts = recorder.facts
        self.undo: list[Callable[[], None]] = []
        self.torch: Any = None
        self.compiling = False  # from then on none is put in again

    def install(self, torch: ModuleType) -> None:
        """Everything, once torch has been imported."""
        self.torch = torch
        self.install_traced()
        self.install_loader()
        self.install_steps()
        self.install_switches()

    def swap(self, place: Any, name: str, other: Any, *, traced: bool = False) -> None:  # noqa: ANN401
        before = getattr(place, name)
        setattr(place, name, other)
        if traced:
            self.undo.append(lambda: setattr(place, name, before))

    def install_traced(self) -> None:
        """Hooks on what compiled code calls too: `torch.compile` would follow them."""
        if self.compiling:  # it imports its compiler only when it is called
            return
        tensor, timed = self.torch.Tensor, self.recorder.timed
        for name in SYNCING:
            call = timed("sync", getattr(tensor, name), enough=self.remove_traced)
            self.swap(tensor, name, call, traced=True)
        for name in COPYING:
            self.swap(tensor, name, timed("copy", getattr(tensor, name), moved), traced=True)
        for name in MAKING:
            call = timed("copy", getattr(self.torch, name), made)
            self.swap(self.torch, name, call, traced=True)
        module = self.torch.nn.Module
        self.swap(module, "__call__", self.forward(module.__call__), traced=True)

    def remove_traced(self) -> None:
        """Take them out again."""
        while self.undo:
            self.undo.pop()()

    def forward(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The outermost call of a module, with how many samples it was given."""
        recorder, outer = self.recorder, self.recorder.outer

        def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N807
            if outer:
                return call(module, *args, **kwargs)
            outer.append("forward")
            begun = time.perf_counter()
            try:
                return call(module, *args, **kwargs)
            finally:
                ended = time.perf_counter()
                outer.pop()
                frame = sys._getframe(1)
                recorder.add("forward", frame, begun, ended, 0.0, samples(args))

        return __call__

    def install_loader(self) -> None:
        """The wait for the next batch, and how each loader is set up."""
        from torch.utils.data import dataloader

        base = dataloader._BaseDataLoaderIter
        self.swap(base, "__next__", self.recorder.timed("loader", base.__next__, cpu=True))
        init = dataloader.DataLoader.__init__
        loaders = self.facts.setdefault("loaders", [])

        def __init__(one: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, N807
            init(one, *args, **kwargs)
            at = user_frame(sys._getframe(1))
            source = type(one.dataset)
            loaders.append({
                "file": at.f_code.co_filename, "line": at.f_lineno,
                "workers": one.num_workers, "batch": one.batch_size,
                "pinned": bool(one.pin_memory), "dataset": source.__name__,
                "items": len(one.dataset) if hasattr(one.dataset, "__len__") else None,
            })  # fmt: skip

        self.swap(dataloader.DataLoader, "__init__", __init__)

    def install_steps(self) -> None:
        """Backward, optimizer steps and checkpoints."""
        torch, timed, outer = self.torch, self.recorder.timed, self.recorder.outer
        self.swap(torch.autograd, "backward", timed("backward", torch.autograd.backward))
        self.swap(torch.Tensor, "backward", timed("backward", torch.Tensor.backward))
        self.swap(torch, "save", timed("checkpoint", torch.save))
        begun: list[float] = []

        def before(*_: Any) -> None:  # noqa: ANN401
            outer.append("optimizer")
            begun.append(time.perf_counter())

        def after(*_: Any) -> None:  # noqa: ANN401
            if begun:
                ended = time.perf_counter()
                outer.pop()
                frame = sys._getframe(1)
                self.recorder.add("optimizer", frame, begun.pop(), ended, 0.0, 0.0)

        from torch.optim.optimizer import (
            register_optimizer_step_post_hook,
            register_optimizer_step_pre_hook,
        )

        register_optimizer_step_pre_hook(before)
        register_optimizer_step_post_hook(after)

    def install_switches(self) -> None:
        """Threads, anomaly mode, the compiler: who set them, where."""
        torch = self.torch
        for place, name, key in (
            (torch, "set_num_threads", "threads_set"),
            (torch.autograd.anomaly_mode.set_detect_anomaly, "__init__", "anomaly_set"),
            (torch.autograd.anomaly_mode.detect_anomaly, "__init__", "anomaly_with"),
            (torch, "compile", "compiled"),
        ):
            self.swap(place, name, self.noted(key, getattr(place, name)))

    def noted(self, key: str, function: Callable[..., Any]) -> Callable[..., Any]:
        rows = self.facts.setdefault(key, [])

        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if key == "compiled":
                self.compiling = True
                self.remove_traced()
            at = sys._getframe(1)
            if not is_user_file(at.f_code.co_filename):  # torch sets and resets its own switches
                return function(*args, **kwargs)
            values = [one for one in args if isinstance(one, bool | int | str)]
            named = {k: v for k, v in kwargs.items() if isinstance(v, bool | int | str)}
            row = {"file": at.f_code.co_filename, "line": at.f_lineno}
            rows.append({**row, "values": values, "named": named})
            return function(*args, **kwargs)

        return wrapper

    def last_look(self) -> None:
        """What is known only at the end: threads, switches, what was compiled."""
        torch = self.torch
        if torch is None:
            return
        self.facts["torch"] = str(torch.__version__)
        self.facts["threads"] = torch.get_num_threads()
        self.facts["anomaly"] = bool(torch.is_anomaly_enabled())
        self.facts["cuda"] = bool(torch.cuda.is_available())
        if "torch._dynamo" in sys.modules:
            self.facts["compilations"] = compilations()


def compilations() -> dict[str, float]:
    """How often code was compiled anew, and the seconds that took."""
    from torch._dynamo import utils

    metrics = utils.compilation_time_metrics
    outermost = metrics.get("_compile.compile_inner") or metrics.get("entire_frame_compile") or []
    first = float(outermost[0]) if outermost else 0.0
    return {"count": len(outermost), "seconds": float(sum(outermost)), "first": first}


def samples(args: tuple[Any, ...]) -> float:
    """The first dimension of the first tensor."""
    for one in args:
        shape = getattr(one, "shape", None)
        if shape is not None and len(shape):
            return float(shape[0])
    return 1.0


def moved(result: Any, args: tuple[Any, ...]) -> float:  # noqa: ANN401
    """Bytes that were copied; 0 where the tensor came back as it was."""
    if not args or result is args[0] or not hasattr(result, "nbytes"):
        return 0.0
    return float(result.nbytes)


def made(result: Any, _: tuple[Any, ...]) -> float:  # noqa: ANN401
    return float(getattr(result, "nbytes", 0))
