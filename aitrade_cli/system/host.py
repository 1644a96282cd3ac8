"""What a measurement must say about the machine it was taken on. Linux and macOS."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from aitrade_cli.system.tuning.cgroups import read_group
from aitrade_cli.system.tuning.tree import Tree

# What decides which INT8 and bfloat16 kernels a runtime can choose, by the kernel's own names.
INSTRUCTIONS: Final[Mapping[str, str]] = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "asimddp": "asimddp",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    # macOS spells the same things its own way.
    "avx512vnni": "avx512_vnni",
    "hw.optional.arm.feat_dotprod": "asimddp",
    "hw.optional.arm.feat_i8mm": "i8mm",
    "hw.optional.arm.feat_bf16": "bf16",
}
LOADED_SHARE: Final = 0.15  # of the usable cores, taken by others: from here on winners change


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as it decides how fast a model runs."""

    cpu: str
    cores_usable: int  # what this process may be scheduled on
    cores_online: int
    quota_cores: float | None  # a container's CPU limit; threads beyond it are throttled
    instructions: tuple[str, ...]
    memory_bytes: int
    memory_free_bytes: int  # at the time of asking
    os: str
    python: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the usable cores were with anything but the measured work.

    Attributes:
        average_before: run-queue length over the minute before, the kernel's own figure;
            it counts our own preparations too.
        cores_usable: the cores that were watched.
        others_cores: cores' worth of time that other programs took while measuring.
        stolen_cores: cores' worth of time that the hypervisor gave to other guests.
    """

    average_before: float
    cores_usable: int
    others_cores: float
    stolen_cores: float

    JSON_PROPERTIES = ("loaded",)

    @property
    def loaded(self) -> bool:
        """Others took enough to change which variant wins."""
        return self.others_cores + self.stolen_cores > LOADED_SHARE * self.cores_usable


@dataclass(frozen=True, slots=True)
class CpuClock:
    """One reading of the usable cores' clocks, in seconds since boot."""

    at: float
    busy: float
    stolen: float
    average: float


def describe_host() -> Host:
    """Ask this machine what it is. Takes milliseconds; never imports torch to name a GPU."""
    names, instructions = read_cpu()
    memory = psutil.virtual_memory()
    return Host(
        cpu=names,
        cores_usable=len(usable_cores()),
        cores_online=os.cpu_count() or 1,
        quota_cores=quota_cores(),
        instructions=instructions,
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        gpus=gpu_names(),
    )


def usable_cores() -> frozenset[int]:
    """The cores this process may run on; all of them where the system does not say."""
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cores_within(cores: int, quota: float | None) -> int:
    """Cores worth a thread each: those there are, at most a limit of CPU time rounded up."""
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def read_cpu() -> tuple[str, tuple[str, ...]]:
    """The processor's name and which of ``INSTRUCTIONS`` it has."""
    if sys.platform == "darwin":
        name = sysctl("machdep.cpu.brand_string")
        features = sysctl("machdep.cpu.features") + " " + sysctl("machdep.cpu.leaf7_features")
        optional = sysctl("hw.optional.arm", name_too=True)
        return name or platform.processor(), instructions_of(features + " " + set_flags(optional))
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), ()
    return parse_cpuinfo(text)


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Read the first processor of a ``/proc/cpuinfo``, x86 or arm64."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    name = fields.get("model name") or fields.get("cpu model") or platform.machine()
    return name, instructions_of(fields.get("flags", "") or fields.get("features", ""))


def instructions_of(words: str) -> tuple[str, ...]:
    """Those of ``INSTRUCTIONS`` that are among the words, in the table's order."""
    present = set(words.lower().split())
    return tuple(dict.fromkeys(ours for theirs, ours in INSTRUCTIONS.items() if theirs in present))


def set_flags(sysctl_lines: str) -> str:
    """The keys whose value is 1 in ``key: value`` lines."""
    pairs = (line.partition(":") for line in sysctl_lines.splitlines())
    return " ".join(key.strip() for key, _, value in pairs if value.strip() == "1")


def sysctl(key: str, *, name_too: bool = False) -> str:
    command = ["sysctl", key] if name_too else ["sysctl", "-n", key]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def quota_cores(root: Path = Path("/")) -> float | None:
    """CPU limit of our control group and of all above it, in cores; `None` where there is none.

    OpenMP and torch do not look at it: more threads than this are stopped for the rest
    of each period, which shows as a long tail.
    """
    return read_group(Tree(root)).quota_cores


def gpu_names() -> tuple[str, ...]:
    """GPUs that torch could use; asked only where torch is here already or a driver is loaded."""
    if "torch" not in sys.modules and not Path("/proc/driver/nvidia").exists():
        return ()
    import torch

    if torch.cuda.is_available():
        return tuple(torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count()))
    return ("Apple MPS",) if torch.backends.mps.is_available() else ()


def read_cpu_clock() -> CpuClock:
    """Read the clocks of the usable cores; two readings and `load_between` make a load."""
    times = psutil.cpu_times(percpu=True)
    watched = [times[core] for core in usable_cores() if core < len(times)]
    stolen = sum(getattr(core, "steal", 0.0) for core in watched)
    waiting = sum(core.idle + getattr(core, "iowait", 0.0) for core in watched)
    # `guest` is counted inside `user` already; summing the fields would count it twice.
    total = sum(sum(core) - getattr(core, "guest", 0.0) for core in watched)
    total -= sum(getattr(core, "guest_nice", 0.0) for core in watched)
    return CpuClock(time.monotonic(), total - waiting - stolen, stolen, os.getloadavg()[0])


def load_between(before: CpuClock, after: CpuClock, own_cpu_s: float) -> Load:
    """What others took between two readings.

    Args:
        before: the earlier reading.
        after: the later one.
        own_cpu_s: CPU seconds that the measurement itself used in between, all its processes.
    """
    # The kernel counts in hundredths of a second a core; under that, nothing can be said.
    wall = max(after.at - before.at, 0.01)
    others = (after.busy - before.busy - own_cpu_s) / wall
    return Load(
        average_before=before.average,
        cores_usable=len(usable_cores()),
        others_cores=round(max(others, 0.0), 3),
        stolen_cores=round(max((after.stolen - before.stolen) / wall, 0.0), 3),
    )


def reset_peak_memory() -> None:
    """Let `peak_memory_bytes` start from now. Does nothing where the kernel cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """The most memory this process held at once, in bytes.

    Linux: since `reset_peak_memory`, else since the program started. `ru_maxrss` would
    not do there: a child inherits its parent's peak through `exec`.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return parse_peak(text)


def parse_peak(status: str) -> int:
    """``VmHWM`` of a ``/proc/PID/status``, in bytes; 0 where the line is absent."""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
