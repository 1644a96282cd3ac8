"""Every setting says what it is, and no plan asks for what may never be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.system.tuning.cgroups import Group
from aitrade_cli.system.tuning.changes import work_of
from aitrade_cli.system.tuning.dropins import Form, places_for, set_later
from aitrade_cli.system.tuning.facts import Facts, read_facts
from aitrade_cli.system.tuning.gpus import Gpu
from aitrade_cli.system.tuning.plan import Line, NotAllowed, Plan, make_plan
from aitrade_cli.system.tuning.selecting import (
    NoSuchPurpose,
    NoSuchSetting,
    purpose_named,
    select,
)
from aitrade_cli.system.tuning.settings import SETTINGS
from aitrade_cli.system.tuning.settings.kinds import PURPOSES, Library, Purpose, Whole, Words
from aitrade_cli.system.tuning.topology import Topology
from aitrade_cli.system.tuning.tree import Tree
from tests.tuning_hosts import DEBIAN, NUMA, closed, debian

FORBIDDEN = (
    "ip_forward",
    "kernel.panic",
    "nr_hugepages",
    "rp_filter",
    "grub",
    "loader.conf",
)


def lines(plan: Plan) -> dict[str, Line]:
    return {line.key: line for line in plan.lines}


def planned(root: Path, purpose: Purpose = "train") -> dict[str, Line]:
    return lines(make_plan(read_facts(Tree(root)), purpose))


def test_the_table_has_all_45_rows_and_each_id_once() -> None:
    assert {setting.row for setting in SETTINGS} == set(range(1, 46))
    ids = [setting.id for setting in SETTINGS]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.id)
def test_a_setting_says_its_rule_its_worth_its_risk_and_its_source(setting: object) -> None:
    for name in ("what", "rule_text", "worth", "risk"):
        text = getattr(setting, name)
        assert text
        assert not text.endswith(".")
    assert getattr(setting, "source").startswith("https://")  # noqa: B009


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.id)
def test_what_is_never_written_has_no_values_that_could_be(setting: object) -> None:
    from aitrade_cli.system.tuning.settings.kinds import Setting

    assert isinstance(setting, Setting)
    place = setting.path("").lower() + setting.place.lower()
    assert not any(word in place for word in FORBIDDEN)
    if setting.backend == "advice":
        assert setting.allowed is None
    elif setting.verdict != "cargo cult":
        assert setting.allowed is not None
    if setting.place.endswith("smt/control"):
        assert setting.allowed is None


BARE_METAL = read_facts(Tree(DEBIAN))


HOSTS = st.fixed_dictionaries(
    {
        "online": st.integers(1, 256),
        "spare": st.integers(0, 255),
        "nodes": st.integers(1, 8),
        "quota": st.none() | st.floats(0.05, 300.0),
        "limit": st.none() | st.integers(1 << 20, 1 << 40),
        "memory": st.integers(1 << 20, 1 << 42),
        "swap": st.sampled_from([0, 1 << 30]),
        "nofile": st.sampled_from([(1024, 4096), (1024, -1), (4096, 4096), (-1, -1)]),
        "gpu": st.booleans(),
        "torch": st.sampled_from([None, "2.8.0", "2.10.0", "2.13.0+cpu"]),
        "vendor": st.sampled_from(["AuthenticAMD", "GenuineIntel", ""]),
    }
)


def host_of(drawn: dict[str, Any]) -> Facts:
    online = drawn["online"]
    return replace(
        BARE_METAL,
        topology=Topology(online, online, max(1, online - drawn["spare"]), drawn["nodes"]),
        group=Group(2, drawn["quota"], drawn["limit"], 10, 5),
        memory_bytes=drawn["memory"],
        swap_bytes=drawn["swap"],
        limits={"nofile": drawn["nofile"]},
        gpus=(Gpu("A100", node=1, ampere=True),) if drawn["gpu"] else (),
        torch=drawn["torch"],
        vendor=drawn["vendor"],
    )


@settings(max_examples=40)
@given(HOSTS, st.sampled_from(PURPOSES))
def test_no_host_makes_a_rule_ask_for_what_is_not_allowed(
    drawn: dict[str, Any], purpose: Purpose
) -> None:
    facts = host_of(drawn)
    plan = make_plan(facts, purpose)  # raises NotAllowed where one does
    assert all(line.why for line in plan.lines)
    budget = lines(plan)["env.OMP_NUM_THREADS"].wanted or ""
    assert 1 <= int(budget) <= facts.topology.physical


def test_a_value_outside_its_range_never_becomes_work(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    plan = make_plan(read_facts(tree), only=["vm.swappiness"])
    for change in ({"wanted": "900"}, {"wanted": None}, {"key": "disk.read_ahead_kb:../../x"}):
        bad = replace(plan, lines=(replace(plan.lines[0], **change),))
        with pytest.raises(NotAllowed):
            work_of(bad, tree, places_for(tree), (), "x", "both")


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        (Whole(0, 10), ["0", "10"], ["-1", "11", "1 2", "", "x", "1.5"]),
        (Whole(1, 9, count=3), ["1 2 3"], ["1 2", "1 2 10"]),
        (Words(("a", "b")), ["a"], ["c", "a b", ""]),
        (
            Library(("libjemalloc",)),
            ["/usr/lib/libjemalloc.so.2"],
            ["libjemalloc.so.2", "/tmp/../libjemalloc.so", "/x/libevil.so", "/a b/libjemalloc.so"],
        ),
    ],
)
def test_ranges_hold_what_they_say(
    allowed: Whole | Words | Library, good: list[str], bad: list[str]
) -> None:
    assert all(allowed.holds(value) for value in good)
    assert not any(allowed.holds(value) for value in bad)


def test_the_bare_metal_host_is_planned_as_its_rules_say(tmp_path: Path) -> None:
    found = planned(debian(tmp_path / "host"))
    assert found["env.OMP_NUM_THREADS"].wanted == "4"
    assert found["cpu.governor:policy4"].decision == "change"
    assert found["vm.dirty_bytes"].decision == "change"
    assert found["disk.scheduler:sda"].decision == "never"
    assert found["net.core.rmem_max"].decision == "not asked"
    assert found["kernel.numa_balancing"].decision == "leave"
    assert found["env.KMP_AFFINITY"].decision == "never"
    assert "libgomp" in found["env.KMP_AFFINITY"].why
    assert "disk.read_ahead_kb:loop0" not in found


def test_a_container_gets_its_process_settings_and_the_rest_is_named(tmp_path: Path) -> None:
    found = planned(closed(tmp_path / "box"))
    assert found["env.OMP_NUM_THREADS"].wanted == "1"
    assert found["env.OMP_NUM_THREADS"].decision == "change"
    assert found["vm.max_map_count"].decision == "not permitted"
    assert found["cgroup.cpu"].decision == "advise"
    assert "75%" in found["cgroup.cpu"].why


def test_a_feed_asks_for_buffers_and_a_server_of_models_for_one_thread(tmp_path: Path) -> None:
    root = debian(tmp_path / "host")
    feed = planned(root, "feed")
    assert feed["net.ipv4.tcp_rmem"].wanted == "4096 131072 16777216"
    assert feed["net.ipv4.tcp_rmem"].decision == "change"
    served = planned(root, "inference")
    assert served["env.OMP_NUM_THREADS"].wanted == "1"
    assert served["env.MALLOC_TRIM_THRESHOLD_"].decision == "leave"
    assert "isolcpus=4-7" in served["kernel.command_line"].advice


def test_several_memory_nodes_ask_for_placement(tmp_path: Path) -> None:
    found = planned(debian(tmp_path / "host", NUMA))
    assert found["env.OMP_PROC_BIND"].wanted == "close"
    assert found["kernel.numa_balancing"].wanted == "0"
    assert "--cpunodebind=1" in found["gpu.node"].advice


def test_switches_of_a_debugging_session_are_named(tmp_path: Path) -> None:
    text = "CUDA_LAUNCH_BLOCKING=1\nNCCL_DEBUG=WARN\nMKL_DEBUG_CPU_TYPE=5\n"
    found = planned(debian(tmp_path / "host", {"etc/environment": text}))
    assert found["env.debug"].advice == "unset CUDA_LAUNCH_BLOCKING"
    assert found["env.debug"].current == "CUDA_LAUNCH_BLOCKING=1"
    assert found["env.MKL_DEBUG_CPU_TYPE"].current == "5"


def test_a_later_file_that_sets_a_key_back_is_named(tmp_path: Path) -> None:
    root = debian(tmp_path / "host", {"etc/sysctl.conf": "vm.swappiness = 30\n"})
    assert planned(root)["vm.swappiness"].set_later_by == "/etc/sysctl.conf"
    same = debian(tmp_path / "same", {"etc/sysctl.conf": "vm/swappiness=10\n"})
    assert planned(same)["vm.swappiness"].set_later_by is None


def test_of_two_files_with_one_name_the_first_folder_counts(tmp_path: Path) -> None:
    changes = {
        "usr/lib/sysctl.d/95-x.conf": "vm.swappiness=1\n",
        "run/sysctl.d/95-x.conf": "# nothing\n",
        "etc/sysctl.d/10-early.conf": "vm.swappiness=2\n",
    }
    assert set_later(Tree(debian(tmp_path / "host", changes)), "vm.swappiness", "10") is None


def test_settings_are_chosen_by_name_start_class_and_row() -> None:
    assert [one.id for one in select(["vm.swappiness"], [])] == ["vm.swappiness"]
    assert {one.row for one in select(["thp"], [])} == {7, 9}
    assert {one.verdict for one in select(["cargo-cult"], [])} == {"cargo cult"}
    assert {one.row for one in select(["40"], ["net.core"])} == {40}
    assert "env.OMP_NUM_THREADS" not in {one.id for one in select([], ["env"])}
    with pytest.raises(NoSuchSetting, match="nothing"):
        select(["nothing"], [])
    with pytest.raises(NoSuchPurpose, match="fun"):
        purpose_named("fun")


def test_planning_changes_nothing(tmp_path: Path) -> None:
    root = debian(tmp_path / "host")
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    make_plan(read_facts(Tree(root)))
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize(
    ("place", "entries"),
    [
        ("tune.env", {"OMP_NUM_THREADS": "4"}),
        ("sysctl.d", {"vm.swappiness": "10", "net.ipv4.tcp_rmem": "1 2 3"}),
        ("tmpfiles.d", {"/sys/kernel/mm/transparent_hugepage/enabled": "madvise"}),
        ("rules.d", {"/sys/block/sda/queue/read_ahead_kb": "4096"}),
        ("limits.d", {"nofile": "65536"}),
        ("system.conf.d", {"nofile": "65536"}),
    ],
)
def test_what_a_file_says_is_read_back_from_it(place: str, entries: dict[str, str]) -> None:
    from aitrade_cli.system.tuning.dropins import FORMS

    (form,) = [form for form in FORMS if place in form.file]
    assert isinstance(form, Form)
    assert form.parse(form.render(entries, "x")) == entries
