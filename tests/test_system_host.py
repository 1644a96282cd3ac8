"""Host facts from recorded files, and the one promise about the real host: it can be asked."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitrade_cli.checks.tune import private_quota
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.system.host import (
    CpuClock,
    describe_host,
    load_between,
    parse_cpuinfo,
    parse_peak,
    peak_memory_bytes,
    quota_cores,
    read_cpu_clock,
    reset_peak_memory,
    set_flags,
    usable_cores,
)
from tests.shell import python

X86 = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni avx512_bf16 amx_int8 amx_bf16

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd asimddp i8mm bf16 sve
CPU implementer\t: 0x41
"""


def test_the_first_processor_of_an_x86_host_is_read() -> None:
    name, instructions = parse_cpuinfo(X86)
    assert name == "Intel(R) Xeon(R) Platinum 8480+"
    assert instructions == (
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "amx_int8",
        "amx_bf16",
    )


def test_an_arm_host_has_no_name_but_has_features() -> None:
    name, instructions = parse_cpuinfo(ARM)
    assert name
    assert instructions == ("asimddp", "i8mm", "bf16", "sve")


def test_a_flag_is_a_whole_word() -> None:
    assert parse_cpuinfo("flags : avx2x myavx512f avx512_vnni2")[1] == ()


def test_macos_says_what_it_has_with_a_one() -> None:
    lines = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_BF16: 0\n"
    assert set_flags(lines) == "hw.optional.arm.FEAT_DotProd"


OLD = "sys/fs/cgroup/cpu,cpuacct"
DOCKER_OLD = f"30 20 0:27 /docker/1 /{OLD} ro - cgroup cgroup rw,cpu,cpuacct\n"
DOCKER_NEW = "30 20 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
BOTH = "31 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


def old(folder: str, quota: int) -> dict[str, str]:
    return {
        f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"{folder}/cpu.cfs_period_us": "100000\n",
    }


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (old("sys/fs/cgroup/cpu", 250_000), 2.5),
        (old("sys/fs/cgroup/cpu", -1), None),
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "garbage"}, None),
        ({"proc/self/cgroup": "garbage\n", "proc/self/mountinfo": "more - \n"}, None),
    ],
)
def test_a_containers_limit_is_read_in_both_generations(
    files: dict[str, str], cores: float | None, tmp_path: Path
) -> None:
    assert quota_cores(written(tmp_path, files)) == cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        (
            {
                "proc/self/cgroup": "0::/pod/job\n",
                "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
                "sys/fs/cgroup/pod/job/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
            },
            1.5,
        ),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/job\n", **old(f"{OLD}/job", 50_000)}, 0.5),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1/job\n0::/docker/1\n",
                "proc/self/mountinfo": DOCKER_OLD + BOTH,
                **old(f"{OLD}/job", 50_000),
                **old(OLD, 200_000),
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "0::/../other\n",
                "proc/self/mountinfo": DOCKER_NEW,
                "sys/fs/cgroup/cpu.max": "50000 100000\n",
            },
            0.5,
        ),
    ],
    ids=["v2, the one above", "v1, our own", "v1, a group within a container", "v2, not seen"],
)
def test_the_limit_is_that_of_our_own_group_or_of_one_above(
    files: dict[str, str], cores: float, tmp_path: Path
) -> None:
    assert quota_cores(written(tmp_path, files)) == cores


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return root


def test_a_real_group_within_a_limited_one_is_read_from_inside() -> None:
    with private_quota() as group:
        if group is None:
            pytest.skip("no control group may be made here")
        inner = group / "job"
        inner.mkdir()
        code = (
            "import sys; from pathlib import Path;"
            "from aitrade_cli.system.host import quota_cores;"
            "Path(sys.argv[1], 'cgroup.procs').write_text('0'); print(quota_cores())"
        )
        try:
            told = subprocess.run(
                [sys.executable, "-c", code, str(inner)], capture_output=True, text=True, check=True
            )
        finally:
            inner.rmdir()
    assert float(told.stdout) == 0.5


def test_what_is_neither_ours_nor_idle_is_taken_by_others() -> None:
    before = CpuClock(at=100.0, busy=50.0, stolen=1.0, average=0.4)
    after = CpuClock(at=110.0, busy=65.0, stolen=2.0, average=1.4)
    load = load_between(before, after, own_cpu_s=10.0)
    assert load.others_cores == pytest.approx(0.5)
    assert load.stolen_cores == pytest.approx(0.1)
    assert load.average_before == 0.4


def test_a_busy_neighbour_makes_a_loaded_host_and_an_idle_one_does_not() -> None:
    still = CpuClock(at=0.0, busy=0.0, stolen=0.0, average=0.0)
    cores = len(usable_cores())
    busy = CpuClock(at=10.0, busy=10.0 * cores, stolen=0.0, average=2.0)
    assert load_between(still, busy, own_cpu_s=0.0).loaded
    assert not load_between(still, busy, own_cpu_s=10.0 * cores).loaded


def test_rounding_of_the_clock_never_gives_a_negative_load() -> None:
    still = CpuClock(at=0.0, busy=0.0, stolen=0.0, average=0.0)
    assert load_between(still, still, own_cpu_s=0.3).others_cores == 0.0


def test_this_host_describes_itself_without_importing_torch() -> None:
    probe = (
        "import sys; from aitrade_cli.system.host import describe_host, gpu_names;"
        "host = describe_host(); assert host.cpu and host.memory_bytes > 0;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    has_driver = Path("/proc/driver/nvidia").exists()
    assert done.stdout.strip() == str(has_driver)


def test_this_hosts_description_has_a_json_form() -> None:
    host = describe_host()
    assert host.cores_usable <= host.cores_online
    assert to_data(host)["cpu"]


def test_the_clock_only_goes_forward() -> None:
    first, second = read_cpu_clock(), read_cpu_clock()
    assert second.at >= first.at
    assert second.busy >= first.busy - 0.05  # the kernel may take back a hundredth of idle


def test_a_peak_in_kibibytes_is_given_in_bytes() -> None:
    assert parse_peak("VmPeak:\t 9 kB\nVmHWM:\t   1784 kB\n") == 1784 * 1024
    assert parse_peak("Name: x\n") == 0


HOLDING = """
import sys
from aitrade_cli.system.host import peak_memory_bytes, reset_peak_memory
reset_peak_memory()
before = peak_memory_bytes()
block = bytearray(b"x") * (64 << 20)
print(peak_memory_bytes() - before, file=sys.stderr)
"""


def test_the_peak_holds_what_was_held() -> None:
    # In a process of its own: here, earlier tests may give memory back at any moment.
    assert int(python(HOLDING)) >= 0.9 * (64 << 20)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux forgets a peak here")
def test_a_peak_can_be_forgotten() -> None:
    # Straight from the kernel: an allocator may keep what is freed, for this process' next use.
    with mmap.mmap(-1, 64 << 20) as block:
        block[:: mmap.PAGESIZE] = bytes(len(block) // mmap.PAGESIZE)
        high = peak_memory_bytes()
    reset_peak_memory()
    assert peak_memory_bytes() < high
