"""A host is read below any root: processors, groups, containers, runtimes, GPUs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.system.tuning import gpus
from aitrade_cli.system.tuning.child import mapped
from aitrade_cli.system.tuning.facts import ask_child, parse_environment, read_facts
from aitrade_cli.system.tuning.gpus import read_gpus
from aitrade_cli.system.tuning.topology import cpu_list
from aitrade_cli.system.tuning.tree import NoSuchRoot, Tree, canonical, shown_after
from tests.tuning_hosts import CONTAINER, NUMA, closed, debian


def test_two_threads_of_one_core_are_one_real_core(tmp_path: Path) -> None:
    facts = read_facts(Tree(debian(tmp_path / "host")))
    topology = facts.topology
    assert (topology.usable, topology.physical, topology.threads_per_core) == (8, 4, 2)
    assert (facts.cores, facts.group.quota_cores) == (4, None)
    assert facts.swap_bytes == 8_388_604 * 1024
    assert (facts.openmp, facts.glibc) == ("gomp", True)


def test_half_a_core_of_quota_is_worth_one_thread(tmp_path: Path) -> None:
    facts = read_facts(Tree(debian(tmp_path / "host", CONTAINER)))
    assert facts.group.version == 2
    assert facts.group.quota_cores == 0.5
    assert facts.group.throttled_share == 0.75
    assert facts.topology.usable == 2
    assert facts.cores == 1
    assert facts.memory_usable_bytes == 2 << 30


@pytest.mark.parametrize(
    ("limit", "cores"), [("100000 100000", 1), ("150000 100000", 2), ("max 100000", 4)]
)
def test_a_quota_is_rounded_up_and_never_beyond_the_real_cores(
    tmp_path: Path, limit: str, cores: int
) -> None:
    changes = {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": f"{limit}\n"}
    assert read_facts(Tree(debian(tmp_path / "host", changes))).cores == cores


def test_the_tightest_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    changes = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/cpu.max": "100000 100000\n",
        "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
    }
    assert read_facts(Tree(debian(tmp_path / "host", changes))).group.quota_cores == 1.0


def test_version_1_groups_are_read_too(tmp_path: Path) -> None:
    root = debian(
        tmp_path / "host",
        {
            "proc/self/cgroup": "5:memory:/\n4:cpu,cpuacct:/job\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    (root / "sys/fs/cgroup/cgroup.controllers").unlink()
    group = read_facts(Tree(root)).group
    assert (group.version, group.quota_cores, group.memory_bytes) == (1, 1.5, None)


def test_a_container_is_known_by_what_it_may_not_do(tmp_path: Path) -> None:
    facts = read_facts(Tree(closed(tmp_path / "box")))
    assert set(facts.closed) == {"sysctl", "network", "sysfs"}
    marked = debian(tmp_path / "machine", {".dockerenv": ""})
    assert read_facts(Tree(marked)).closed == {}


def test_memory_nodes_and_the_node_of_a_gpu(tmp_path: Path) -> None:
    facts = read_facts(Tree(debian(tmp_path / "host", NUMA)))
    assert facts.topology.nodes == 2
    assert [(gpu.name, gpu.node) for gpu in facts.gpus] == [("NVIDIA A100", 1)]


def nvml(**more: Any) -> SimpleNamespace:
    class NVMLError(Exception):
        pass

    def refuse(_: object) -> bool:
        raise NVMLError

    told: dict[str, Any] = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda at: at,
        "nvmlDeviceGetName": lambda _: "NVIDIA L4",
        "nvmlDeviceGetPersistenceMode": refuse,
        "nvmlDeviceGetPciInfo": lambda _: SimpleNamespace(busId=b"00000000:3B:00.0"),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 0x24,
        "nvmlDeviceGetCudaComputeCapability": lambda _: (8, 9),
    }
    return SimpleNamespace(**{**told, **more})


def test_nvml_is_asked_and_what_a_driver_does_not_support_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(debian(tmp_path / "host", NUMA))
    monkeypatch.setattr(Tree, "real_kernel", True)
    monkeypatch.setattr(gpus.importlib, "import_module", lambda _: nvml())
    (gpu,) = read_gpus(tree)
    assert (gpu.name, gpu.persistent, gpu.node, gpu.ampere) == ("NVIDIA L4", None, 1, True)
    assert gpu.slowed_by == ("power cap", "thermal limit")


def test_a_broken_driver_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("libnvidia-ml.so.1")

    monkeypatch.setattr(Tree, "real_kernel", True)
    monkeypatch.setattr(gpus.importlib, "import_module", lambda _: nvml(nvmlInit=broken))
    assert read_gpus(Tree(debian(tmp_path / "host"))) == ()


def test_runtimes_are_found_in_the_maps_and_look_alikes_are_not() -> None:
    names = ("libgomp-24e2ab19.so.1.0.0", "libc.so.6", "libcrypto.so.3", "libjemalloc.so.2")
    maps = "".join(f"7f0-7f1 r-xp 0 08:01 1 /lib/{name}\n" for name in names)
    assert mapped(maps) == ("libc.so.6", "libgomp-24e2ab19.so.1.0.0", "libjemalloc.so.2")


@given(st.sets(st.integers(0, 300)))
def test_any_set_of_processors_survives_being_written_as_a_list(cpus: set[int]) -> None:
    assert cpu_list(",".join(map(str, sorted(cpus)))) == cpus


def test_a_list_of_processors_may_hold_ranges() -> None:
    assert cpu_list("0-2,8") == {0, 1, 2, 8}


def test_assignments_are_read_and_comments_passed_over() -> None:
    text = "# no\nA=1\nexport B='two'\nnothing\n=3\n"
    assert parse_environment(text) == {"A": "1", "B": "two"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("[mq-deadline] none\n", "mq-deadline"), ("4096\t131072\t1\n", "4096 131072 1"), ("1\n", "1")],
)
def test_a_kernel_value_has_one_spelling(text: str, said: str) -> None:
    assert canonical(text) == said


def test_a_choice_moves_its_brackets_and_refuses_what_is_not_offered() -> None:
    assert shown_after("[mq-deadline] none\n", "none") == "mq-deadline [none]\n"
    with pytest.raises(OSError, match="Invalid argument"):
        shown_after("[mq-deadline] none\n", "bfq")


def test_links_are_followed_inside_the_root_only(tmp_path: Path) -> None:
    root = debian(tmp_path / "host")
    (root / "etc/sysctl.d/80-out.conf").symlink_to("/etc/os-release")
    (root / "etc/aside").symlink_to("/usr/lib")
    (root / "etc/out").symlink_to("../../../../../../etc")
    tree = Tree(root)
    assert "bookworm" in (tree.text("/etc/sysctl.d/80-out.conf") or "")
    assert tree.text("/etc/aside/sysctl.d/50-pid-max.conf") == "kernel.pid_max = 4194304"
    for name in ("/etc/out/passwd", "/etc/aside/x", "/../../etc/passwd"):
        assert tree.locate(name).is_relative_to(root.resolve())


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRoot, match="not a folder"):
        Tree(tmp_path / "none")


def test_the_machine_we_run_on_can_be_read() -> None:
    tree = Tree()
    assert tree.real
    assert tree.in_kernel("/proc/self/status") is Path("/proc/self/status").exists()
    found = ask_child({"OMP_NUM_THREADS": "1"})
    assert found["threads"] == 1
    assert any(name.startswith(("libc", "ld-musl")) for name in found["mapped"])
    assert found["limits"]["nofile"] > 0
