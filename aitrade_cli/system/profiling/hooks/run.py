"""Run a script under the hooks and leave what was seen in a file."""

from __future__ import annotations

import ctypes
import gc
import io
import json
import mmap
import os
import resource
import runpy
import signal
import sys
import time
import traceback
import types
from pathlib import Path
from typing import Any, Final

from aitrade_cli.system.profiling.hooks.containers import Containers
from aitrade_cli.system.profiling.hooks.importing import Replaced, watch
from aitrade_cli.system.profiling.hooks.recorder import HERE, Recorder
from aitrade_cli.system.profiling.hooks.sampler import Sampler, imports
from aitrade_cli.system.profiling.hooks.torch_calls import TorchCalls
from aitrade_cli.system.profiling.hooks.torch_profile import TorchProfile

INTERRUPTED: Final = 130
PR_SET_PDEATHSIG: Final = 1
PR_SET_PTRACER: Final = 0x59616D61
ANY_PROCESS: Final = ctypes.c_ulong(-1 & (2**64 - 1))
PAGE_TRIES: Final = 4096


def main(order_file: str) -> int:
    """Do what an order says; the script's exit code.

    The order is JSON: ``words`` (a script or `-m module`, and its arguments), ``evidence``
    (the file to leave, or null for a plain run), ``texts`` (other text for some files),
    ``ready`` and ``go`` (pipes to wait on for an outside sampler), ``alone`` and ``events``.
    """
    end_with_parent()
    order = json.loads(Path(order_file).read_text(encoding="utf-8"))
    if order.get("texts"):
        sys.meta_path.insert(0, Replaced(order["texts"]))
    if order.get("torch_profile"):
        return under_torch_profiler(order)
    if not order.get("evidence"):
        return execute(order["words"], order.get("texts") or {})
    return watched(order)


def under_torch_profiler(order: dict[str, Any]) -> int:
    """A plain run, but for torch's own profiler around a few steps."""
    profile = TorchProfile(Path(order["torch_profile"]))
    watch({"torch": profile.install}, {})
    code = execute(order["words"], order.get("texts") or {})
    profile.stop()
    return code


def watched(order: dict[str, Any]) -> int:
    """The same under the hooks."""
    let_others_look()
    recorder = Recorder(keep_events=bool(order.get("events")))
    torch_calls = TorchCalls(recorder)
    install(recorder, torch_calls)
    wait_for_go(order)
    containers = Containers()
    sampler = Sampler(alone=bool(order.get("alone")), look=containers.look)
    collected = time_collections()
    main_process, before = os.getpid(), resource.getrusage(resource.RUSAGE_SELF)
    recorder.started = begun = time.perf_counter()
    sampler.start()
    code = execute(order["words"], order.get("texts") or {})
    if os.getpid() != main_process:  # a fork that came back: the parent writes
        return code
    wall = time.perf_counter() - begun
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was seen must reach the disk
    sampler.stop()
    torch_calls.last_look()
    gc.callbacks.clear()
    leave(
        Path(order["evidence"]),
        {
            "exit_code": code,
            "wall_seconds": wall,
            **used_since(before),
            "fault_seconds": seconds_a_fault(),
            "hook_calls": recorder.calls,
            "hook_seconds": recorder.calls * seconds_a_hook(),
            "sampler_cpu_seconds": sampler.cpu_seconds,
            "collections": collected,
            "sites": recorder.rows(),
            "facts": recorder.facts,
            "samples": sampler.rows,
            "importing": sampler.importing,
            "lines": [[file, line, *row] for (file, line), row in sampler.lines.items()],
            "grown": containers.grown,
            "events": recorder.events,
        },
    )
    return code


def install(recorder: Recorder, torch_calls: TorchCalls) -> None:
    """Put the hooks in, each as soon as its library is there."""
    parsing = Parsing(recorder)
    watch(
        {
            "torch": torch_calls.install,
            "torch._dynamo": lambda _: torch_calls.install_traced(),
            "numpy": parsing.numpy,
            "pandas": parsing.pandas,
            "pickle": parsing.pickle,
        },
        {"torch._dynamo": torch_calls.remove_traced},
    )


def used_since(before: resource.struct_rusage) -> dict[str, float]:
    """What the process took of the machine since an earlier look."""
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    return {
        "cpu_seconds": after.ru_utime - before.ru_utime + system,
        "system_seconds": system,
        "minor_faults": after.ru_minflt - before.ru_minflt,
    }


class Parsing:
    """Hooks on what reads text tables."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def numpy(self, module: Any) -> None:  # noqa: ANN401
        """`loadtxt`, `genfromtxt` and what writes arrays."""
        for name in ("loadtxt", "genfromtxt"):
            setattr(module, name, self.recorder.timed("parse", getattr(module, name)))
        for name in ("save", "savez", "savez_compressed"):
            setattr(module, name, self.recorder.timed("checkpoint", getattr(module, name)))

    def pickle(self, module: Any) -> None:  # noqa: ANN401
        """`dump` into a file, which a checkpoint may be."""
        module.dump = self.recorder.timed("checkpoint", module.dump)

    def pandas(self, module: Any) -> None:  # noqa: ANN401
        """`read_csv`."""
        module.read_csv = self.recorder.timed("parse", module.read_csv)


def execute(words: list[str], texts: dict[str, str]) -> int:
    """Run a script or module as `__main__`; the exit code that Python would end with."""
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            sys.path.insert(0, os.getcwd())
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            run_file(words, texts)
    except SystemExit as left:
        return code_of(left)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        show(error)
        return 1
    return 0


def run_file(words: list[str], texts: dict[str, str]) -> None:
    path = os.path.abspath(words[0])
    sys.argv = list(words)
    sys.path.insert(0, os.path.dirname(path))
    text = texts.get(path)
    source = text.encode() if text is not None else Path(path).read_bytes()
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)


def code_of(left: SystemExit) -> int:
    if left.code is None or isinstance(left.code, int):
        return (left.code or 0) & 0xFF
    sys.stderr.write(f"{left.code}\n")
    return 1


def show(error: BaseException) -> None:
    """The traceback as the script alone would have printed it."""
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename.startswith(HERE):
        at = at.tb_next
    text = io.StringIO()
    traceback.print_exception(type(error), error, at, file=text)
    sys.stderr.write(text.getvalue())


def let_others_look() -> None:
    """Where only a parent may look into a process, let the sampler look too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY_PROCESS, 0, 0, 0)


def end_with_parent() -> None:
    """Where whoever watches is killed, nobody is left to end the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def wait_for_go(order: dict[str, Any]) -> None:
    if order.get("ready") is not None:
        os.write(order["ready"], b"1")
        os.close(order["ready"])
        os.read(order["go"], 1)
        os.close(order["go"])


def time_collections() -> dict[str, float]:
    """Add up what the garbage collector takes, imports left out."""
    told = {"count": 0, "seconds": 0.0}
    begun = [0.0]

    def note(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            begun[0] = time.perf_counter()
        elif not imports(sys._getframe()):
            told["count"] += 1
            told["seconds"] += time.perf_counter() - begun[0]

    gc.callbacks.append(note)
    return told


def seconds_a_fault() -> float:
    """What one page fault costs here: fresh pages, each touched once."""
    size = mmap.PAGESIZE
    with mmap.mmap(-1, PAGE_TRIES * size) as area:
        empty = time.perf_counter()
        for _ in range(0, PAGE_TRIES * size, size):
            pass
        begun = time.perf_counter()
        for at in range(0, PAGE_TRIES * size, size):
            area[at] = 1
        ended = time.perf_counter()
    return max(ended - begun - (begun - empty), 0.0) / PAGE_TRIES


def seconds_a_hook() -> float:
    """What one hooked call costs beyond the call itself."""
    probe = Recorder(keep_events=False)
    nothing = probe.timed("probe", lambda: None)
    begun = time.perf_counter()
    for _ in range(500):
        nothing()
    return (time.perf_counter() - begun) / 500


def leave(path: Path, evidence: dict[str, Any]) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(evidence), encoding="utf-8")
    os.replace(beside, path)
