"""Collectors that take a run of their own: what is here, what each cost, what each calls hot."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.profiling.launch import Order, Run, run
from aitrade_cli.system.profiling.readers import (
    Hottest,
    NothingSeen,
    hottest_operator,
    kernel_of_nsys,
    line_of_cprofile,
    line_of_scalene,
    lines_of_memray,
)
from aitrade_cli.system.profiling.report import CollectorLine
from aitrade_cli.system.profiling.target import Program

DEFAULT: Final = ("hooks", "py-spy")
OWN_RUN: Final = ("cprofile", "scalene", "memray", "torch", "nsys", "nvml")
ALL: Final = (*DEFAULT, *OWN_RUN)
SLOWEST: Final = 3.0  # times the plain wall time; then a collector is killed
LEAST_SECONDS: Final = 10.0  # more than the plain time that each may take, to start at all
LINES: Final = 8
Say = Callable[[str], None]


class UnknownCollector(Usage):
    """`--collect` names something that is no collector."""

    default_hint = f"there are {', '.join(ALL)}, and `all`"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which collectors run in the first run, and which in runs of their own."""

    first: tuple[str, ...]
    others: tuple[str, ...]
    skipped: tuple[CollectorLine, ...] = ()

    def uses(self, name: str) -> bool:
        """Whether it watches the first run."""
        return name in self.first


@dataclass(frozen=True, slots=True)
class Collected:
    """What the runs of their own brought."""

    lines: tuple[CollectorLine, ...] = ()
    interrupted: bool = False
    memory: tuple[tuple[str, int], ...] = ()
    torch_trace: bytes | None = None


def plan_of(names: Sequence[str], program: Program) -> Plan:
    """Sort the names of collectors.

    Raises:
        UnknownCollector: there is none of that name.
    """
    wanted = ALL if "all" in names else tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in ALL:
            raise UnknownCollector(f"there is no collector `{name}`")
    skipped = []
    if "hooks" in wanted and program.python is None:
        skipped.append(CollectorLine("hooks", "skipped", "not started as `python SCRIPT`"))
    first = tuple(name for name in wanted if name in DEFAULT)
    return Plan(first, tuple(name for name in wanted if name in OWN_RUN), tuple(skipped))


def collect(
    program: Program, names: Sequence[str], wall_seconds: float, say: Say = lambda _: None
) -> Collected:
    """Run the program once under each of them.

    Args:
        program: what to run.
        names: of `OWN_RUN`.
        wall_seconds: what the first, watched run took; past three times that, and at least ten
            seconds more than it, one is killed.
        say: told what runs now.
    """
    found = Collected()
    for name in names:
        reason = "interrupted before it" if found.interrupted else why_not(name, program)
        if reason:
            line = CollectorLine(name, "skipped", reason)
            found = replace(found, lines=(*found.lines, line))
            continue
        say(f"running it under {name}")
        with tempfile.TemporaryDirectory(prefix="aitrade-profile-") as folder:
            found = with_one(found, name, program, Path(folder), wall_seconds)
    return found


def why_not(name: str, program: Program) -> str:
    """Why a collector cannot run here; empty where it can."""
    if name == "nsys":
        return "" if shutil.which("nsys") else "Nsight Systems is not installed"
    if name == "nvml":
        return why_no_nvml()
    if program.python is None:
        return "not started as `python SCRIPT`"
    if name == "scalene" and program.script[:1] == ("-m",):
        return "it runs files, not `-m MODULE`: name the module's file"
    module = {"cprofile": "cProfile"}.get(name, name)
    if not importable(program.python, module):
        extra = f"{module} is not installed there"
        return extra + (": `pip install 'aitrade-cli[profile]'`" if name != "torch" else "")
    return ""


def importable(python: str, module: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec(module) is not None
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    done = subprocess.run([python, "-c", code], capture_output=True, check=False)
    return done.returncode == 0


def why_no_nvml() -> str:
    """Why the GPU cannot be asked; empty where it can."""
    if importlib.util.find_spec("pynvml") is None:
        return "nvidia-ml-py is not installed"
    import pynvml

    try:
        pynvml.nvmlInit()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return f"no NVIDIA driver: {error}"
    return ""


def with_one(
    found: Collected, name: str, program: Program, folder: Path, wall_seconds: float
) -> Collected:
    """What was found, and what one more collector brings."""
    if name == "nvml":
        return replace(found, lines=(*found.lines, gpu_state()))
    limit = max(SLOWEST * wall_seconds, wall_seconds + LEAST_SECONDS)
    done = run(order_for(name, program, folder, limit))
    line = CollectorLine(name, "ran", "", round(done.wall_seconds, 3))
    if done.interrupted:
        line = replace(line, status="skipped", reason="interrupted")
        return replace(found, lines=(*found.lines, line), interrupted=True)
    if done.killed:
        reason = f"past {limit:.1f} s; the first run took {wall_seconds:.1f} s"
        line = replace(line, status="killed", reason=reason)
    elif done.exit_code != 0:
        last = done.last_words[-1] if done.last_words else f"exit code {done.exit_code}"
        line = replace(line, status="failed", reason=last)
    else:
        try:
            return with_read(found, line, done, folder)
        except (NothingSeen, OSError, ValueError, KeyError, ImportError) as error:
            line = replace(line, status="failed", reason=f"its file cannot be read: {error}")
    return replace(found, lines=(*found.lines, line))


def order_for(name: str, program: Program, folder: Path, limit: float) -> Order:
    """The command line of a collector around the program's."""
    script, python = program.script, program.python or ""
    quiet = Order(program, quiet=True, limit_seconds=limit)
    match name:
        case "torch":
            return replace(quiet, torch_profile=True)
        case "cprofile":
            words = (python, "-m", "cProfile", "-o", str(folder / "cprofile"), *script)
        case "scalene":
            words = (python, "-m", "scalene", "run", "--cpu-only", "-o", str(folder / "s.json"),
                     *script[:1], *(("---", *script[1:]) if script[1:] else ()))  # fmt: skip
        case "memray":
            words = (python, "-m", "memray", "run", "-q", "--force", "-o", str(folder / "m.bin"),
                     *script)  # fmt: skip
        case _:
            words = ("nsys", "profile", "-t", "cuda,nvtx,osrt", "-f", "true", "-o",
                     str(folder / "nsys"), *program.words)  # fmt: skip
    return replace(quiet, program=Program(words))


def with_read(found: Collected, line: CollectorLine, done: Run, folder: Path) -> Collected:
    """Read what a collector left."""
    memory, trace = found.memory, found.torch_trace
    match line.name:
        case "cprofile":
            top = line_of_cprofile(folder / "cprofile")
        case "scalene":
            top = line_of_scalene(folder / "s.json")
        case "memray":
            lines, peak = lines_of_memray(folder / "m.bin")
            memory = tuple(lines[:LINES])
            top = Hottest(memory[0][0], memory[0][1] / max(peak, 1))
        case "torch":
            top = hottest_operator(done.torch_operators)
            trace = done.torch_trace
        case _:
            top = kernel_of_nsys(folder / "nsys.nsys-rep")
    line = replace(line, hot_line=top.place, share=round(top.share, 4))
    return replace(found, lines=(*found.lines, line), memory=memory, torch_trace=trace)


def gpu_state() -> CollectorLine:
    """What holds the first GPU back now, by its driver."""
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        reasons = int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle)
    except pynvml.NVMLError as error:
        return CollectorLine("nvml", "failed", str(error))
    finally:
        pynvml.nvmlShutdown()
    held = reasons & ~int(pynvml.nvmlClocksThrottleReasonGpuIdle)
    told = f"clocks are held back, reasons {held:#x}" if held else "clocks are not held back"
    return CollectorLine("nvml", "ran", f"{told}; busy {busy.gpu} %")
