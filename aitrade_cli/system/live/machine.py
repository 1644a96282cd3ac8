"""Pressure, throttling and GPU of the host: what a job cannot know about itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path("/")
PRESSURES: Final = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card now."""

    name: str
    busy_share: float
    memory_used_bytes: int
    memory_bytes: int
    power_watts: float | None
    celsius: float | None


@dataclass(frozen=True, slots=True)
class MachineSample:
    """One reading. None: this system does not say, see `Machine.missing`.

    Attributes:
        stall_seconds: by resource, how long some work waited for it since boot.
        throttled_seconds: how long the job's control group was stopped by its CPU limit.
        throttled_periods: in how many periods.
        out_of_memory_kills: in that group.
        memory_limit_hits: how often its memory limit was reached.
    """

    stall_seconds: dict[str, float]
    throttled_seconds: float | None
    throttled_periods: int | None
    out_of_memory_kills: int | None
    memory_limit_hits: int | None
    gpus: tuple[Gpu, ...]


class Machine:
    """The host as a job sees it.

    Args:
        pid: whose control group is read.
        root: another tree to read from, for tests.

    Attributes:
        missing: what cannot be read here, each with the reason.
    """

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        self._root = root
        self.missing: list[str] = []
        self._pressures = [name for name in PRESSURES if self._pressure_file(name).is_file()]
        if not self._pressures:
            self.missing.append("pressure: the kernel has no /proc/pressure")
        self._cpu, self._memory = self._groups(pid)
        if self._cpu is None:
            self.missing.append("throttling: the process is in no control group that counts it")
        self._nvml: Any = open_nvml(self.missing)

    def sample(self) -> MachineSample:
        """Read it now."""
        cpu = numbers_in(self._cpu / "cpu.stat") if self._cpu else {}
        memory = numbers_in(self._memory / "memory.events") if self._memory else {}
        throttled = cpu.get("throttled_usec")
        if throttled is None and "throttled_time" in cpu:  # version 1 counts nanoseconds
            throttled = cpu["throttled_time"] // 1000
        return MachineSample(
            stall_seconds={name: self._stall(name) for name in self._pressures},
            throttled_seconds=None if throttled is None else throttled / 1e6,
            throttled_periods=cpu.get("nr_throttled"),
            out_of_memory_kills=memory.get("oom_kill"),
            memory_limit_hits=memory.get("max"),
            gpus=read_gpus(self._nvml),
        )

    def _pressure_file(self, name: str) -> Path:
        return self._root / "proc/pressure" / name

    def _stall(self, name: str) -> float:
        with suppress(OSError, ValueError, IndexError):
            line = self._pressure_file(name).read_text(encoding="ascii").splitlines()[0]
            return int(line.rpartition("total=")[2]) / 1e6
        return 0.0

    def _groups(self, pid: int) -> tuple[Path | None, Path | None]:
        """Folders of the job's group: the one that counts CPU, the one that counts memory."""
        try:
            lines = (self._root / f"proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None, None
        base, cpu, memory = self._root / "sys/fs/cgroup", None, None
        for line in lines:
            number, _, rest = line.partition(":")
            kinds, _, path = rest.partition(":")
            unified = number == "0" and not kinds
            for kind in kinds.split(",") if kinds else ["", "unified"]:
                folder = base / kind / path.lstrip("/")
                if (folder / "cpu.stat").is_file() and (kind == "cpu" or (unified and not cpu)):
                    cpu = folder
                if (folder / "memory.events").is_file():
                    memory = folder
        return cpu, memory

    def close(self) -> None:
        if self._nvml is not None:
            with suppress(Exception):  # a driver that went away
                self._nvml.nvmlShutdown()


def numbers_in(path: Path) -> dict[str, int]:
    """``name number`` lines."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def open_nvml(missing: list[str]) -> Any:  # noqa: ANN401 -- a module without types, or None
    """NVIDIA's library, opened; where there is none the reason is added to ``missing``."""
    try:
        import pynvml  # an extra

        pynvml.nvmlInit()
    except ImportError:
        missing.append("GPU: nvidia-ml-py is not installed: `pip install 'aitrade-cli[gpu]'`")
    except Exception as error:  # its errors share no importable base before it is imported
        missing.append(f"GPU: {error}")
    else:
        return pynvml
    return None


def read_gpus(nvml: Any) -> tuple[Gpu, ...]:  # noqa: ANN401
    if nvml is None:
        return ()
    found: list[Gpu] = []
    count = 0
    with suppress(nvml.NVMLError):  # a driver that went away
        count = nvml.nvmlDeviceGetCount()
    for at in range(count):
        with suppress(nvml.NVMLError):
            card = nvml.nvmlDeviceGetHandleByIndex(at)
            name, memory = nvml.nvmlDeviceGetName(card), nvml.nvmlDeviceGetMemoryInfo(card)
            busy = nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100
            power = celsius = None
            with suppress(nvml.NVMLError):
                power = nvml.nvmlDeviceGetPowerUsage(card) / 1000
            with suppress(nvml.NVMLError):
                celsius = float(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))
            found.append(Gpu(str(name), busy, int(memory.used), int(memory.total), power, celsius))
    return tuple(found)
