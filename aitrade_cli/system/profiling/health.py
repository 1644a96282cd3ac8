"""Host health first: a busy or throttled machine makes every other number doubtful."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from aitrade_cli.system.host import CpuClock, load_between, read_cpu_clock
from aitrade_cli.system.profiling.report import HostHealth

STOLEN: Final = 0.05  # shares from which on a warning is given
PRESSED: Final = 0.20
THROTTLED: Final = 0.05
SWAPPED_BYTES: Final = 16 * 1024**2

# Switches that help to find a fault and slow down whatever runs after it was found.
DEBUG_SWITCHES: Final[Mapping[str, str]] = {
    "CUDA_LAUNCH_BLOCKING": "every CUDA kernel is waited for",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "every CUDA tensor is allocated anew",
    "TORCH_SHOW_CPP_STACKTRACES": "errors collect their C++ stack",
    "TORCH_LOGS": "the compiler writes what it does",
    "TORCH_CPP_LOG_LEVEL": "torch writes what it does",
    "TORCH_DISTRIBUTED_DEBUG": "collectives are checked each time",
    "NCCL_DEBUG": "NCCL writes what it does",
    "PYTHONDEVMODE": "Python checks memory and warns",
    "PYTHONMALLOC": "allocations are checked or go without Python's pool",
    "PYTHONASYNCIODEBUG": "asyncio checks each step",
    "PYTHONTRACEMALLOC": "each allocation keeps its stack",
    "PYTHONPROFILEIMPORTTIME": "imports are timed and printed",
    "MALLOC_CHECK_": "glibc checks each allocation",
    "MALLOC_PERTURB_": "glibc fills each allocation",
    "ATEN_CPU_CAPABILITY": "torch may not use this processor's instructions",
    "ONEDNN_MAX_CPU_ISA": "oneDNN may not use this processor's instructions",
    "ONEDNN_VERBOSE": "oneDNN writes each primitive",
    "MKL_VERBOSE": "MKL writes each call",
    "KMP_SETTINGS": "OpenMP prints its settings",
}
HARMLESS: Final[Mapping[str, tuple[str, ...]]] = {
    "PYTHONMALLOC": ("pymalloc",),
    "TORCH_CPP_LOG_LEVEL": ("WARNING", "ERROR", "FATAL", "2", "3", "4"),
    "NCCL_DEBUG": ("WARN", "VERSION"),
    "TORCH_DISTRIBUTED_DEBUG": ("OFF",),
}
OFF: Final = frozenset(("", "0", "false", "off", "no"))


@dataclass(frozen=True, slots=True)
class Reading:
    """The host's counters at one time."""

    clock: CpuClock
    pressure_us: int | None
    throttled: tuple[int, int] | None  # periods, of which throttled
    swapped_pages: int


def read_host() -> Reading:
    """Read the counters now; two readings make a `HostHealth`."""
    swap = psutil.swap_memory()
    return Reading(read_cpu_clock(), pressure_total(), throttling(), swap.sin + swap.sout)


def health_between(
    before: Reading, after: Reading, own_cpu_s: float, switches: Mapping[str, str]
) -> HostHealth:
    """What the host did between two readings.

    Args:
        before: the earlier reading.
        after: the later one.
        own_cpu_s: CPU seconds that the program and its watchers used in between.
        switches: debugging switches that the program ran with, and what each does.
    """
    wall = max(after.clock.at - before.clock.at, 0.01)
    load = load_between(before.clock, after.clock, own_cpu_s)
    stolen = load.stolen_cores / max(load.cores_usable, 1)
    pressed = share_between(before.pressure_us, after.pressure_us, wall * 1e6)
    throttled = throttled_between(before.throttled, after.throttled)
    swapped = max(after.swapped_pages - before.swapped_pages, 0)
    warnings = []
    if stolen > STOLEN:
        warnings.append(f"the hypervisor took {stolen:.0%} of the cores' time")
    if load.loaded:
        warnings.append(
            f"other programs took {load.others_cores:.1f} of {load.cores_usable} cores meanwhile"
        )
    if pressed is not None and pressed > PRESSED and load.loaded:
        warnings.append(f"{pressed:.0%} of the time some task waited for a core")
    if throttled is not None and throttled > THROTTLED:
        warnings.append(f"the container's CPU limit stopped it in {throttled:.0%} of the periods")
    if swapped > SWAPPED_BYTES:
        warnings.append(f"{swapped / 1e6:.0f} MB went to or came from swap")
    warnings += [f"`{name}` is set: {what}" for name, what in switches.items()]
    return HostHealth(
        round(stolen, 4), pressed, throttled, swapped, load.others_cores, load.cores_usable,
        tuple(warnings),
    )  # fmt: skip


def debug_switches(environment: Mapping[str, str]) -> dict[str, str]:
    """Switches that are on, and what each does."""
    return {
        name: what
        for name, what in DEBUG_SWITCHES.items()
        if name in environment
        and environment[name].lower() not in OFF
        and environment[name] not in HARMLESS.get(name, ())
    }


def pressure_total(root: Path = Path("/proc/pressure")) -> int | None:
    """Microseconds since boot in which some task waited for a core."""
    try:
        first = (root / "cpu").read_text(encoding="ascii").splitlines()[0]
        return int(first.rpartition("total=")[2])
    except (OSError, ValueError, IndexError):
        return None


def throttling(root: Path = Path("/")) -> tuple[int, int] | None:
    """Periods of our group's CPU limit, and in how many it was reached; None without a limit."""
    from aitrade_cli.system.tuning.cgroups import read_group
    from aitrade_cli.system.tuning.tree import Tree

    group = read_group(Tree(root))
    if group.quota_cores is None and not group.periods:
        return None
    return group.periods, group.throttled


def throttled_between(
    before: tuple[int, int] | None, after: tuple[int, int] | None
) -> float | None:
    if before is None or after is None:
        return None
    periods = after[0] - before[0]
    return round((after[1] - before[1]) / periods, 4) if periods > 0 else 0.0


def share_between(before: int | None, after: int | None, whole: float) -> float | None:
    if before is None or after is None:
        return None
    return round(min(max((after - before) / whole, 0.0), 1.0), 4)


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty where it may not be read."""
    if pid == os.getpid():
        return dict(os.environ)
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}
