"""What the host and its cards say, read from trees and drivers that stand in for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitrade_cli.system.live.machine import Gpu, Machine, read_gpus


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("line", "folder", "stat"),
    [
        ("0::/job\n", "job", "nr_throttled 3\nthrottled_usec 250000\n"),
        ("4:cpu,cpuacct:/job\n", "cpu/job", "nr_throttled 3\nthrottled_time 250000000\n"),
    ],
    ids=["version 2", "version 1"],
)
def test_throttling_is_read_of_the_jobs_own_group(
    tmp_path: Path, line: str, folder: str, stat: str
) -> None:
    group = tmp_path / "sys/fs/cgroup" / folder
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text(stat)
    (group / "memory.events").write_text("max 2\noom_kill 1\n")
    tree(tmp_path, proc__7__cgroup=line, proc__pressure__cpu="some avg10=0 total=1500000\n")
    sample = Machine(7, tmp_path).sample()
    assert (sample.throttled_seconds, sample.throttled_periods) == (0.25, 3)
    assert sample.stall_seconds == {"cpu": 1.5}
    if line.startswith("0"):
        assert (sample.memory_limit_hits, sample.out_of_memory_kills) == (2, 1)


def test_what_the_system_does_not_say_is_named(tmp_path: Path) -> None:
    machine = Machine(7, tmp_path)
    assert any(said.startswith("pressure: ") for said in machine.missing)
    assert any(said.startswith("throttling: ") for said in machine.missing)
    assert machine.sample().stall_seconds == {}


class Driver:
    """Stands in for NVIDIA's library."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    nvmlDeviceGetCount = staticmethod(lambda: 1)  # noqa: N815 -- the library's names
    nvmlDeviceGetHandleByIndex = staticmethod(lambda at: at)  # noqa: N815
    nvmlDeviceGetName = staticmethod(lambda _: "card")  # noqa: N815
    nvmlDeviceGetMemoryInfo = staticmethod(  # noqa: N815
        lambda _: type("Memory", (), {"used": 5, "total": 9})
    )
    nvmlDeviceGetUtilizationRates = staticmethod(  # noqa: N815
        lambda _: type("Rates", (), {"gpu": 40})
    )
    nvmlDeviceGetTemperature = staticmethod(lambda *_: 61)  # noqa: N815

    @classmethod
    def nvmlDeviceGetPowerUsage(cls, _: int) -> int:  # noqa: N802
        raise cls.NVMLError


def test_a_driver_that_goes_away_ends_no_watch() -> None:
    class Gone(Driver):
        @staticmethod
        def nvmlDeviceGetCount() -> int:  # noqa: N802
            raise Driver.NVMLError

    assert read_gpus(Gone) == ()


def test_a_card_is_read_and_what_it_does_not_say_is_none() -> None:
    assert read_gpus(Driver) == (Gpu("card", 0.4, 5, 9, None, 61.0),)
