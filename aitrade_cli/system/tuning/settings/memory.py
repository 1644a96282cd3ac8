"""Rows 31, 32, 37 to 39 and 45: swap, writing back, shared memory, limits of mappings."""

from __future__ import annotations

import os
from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Class, Purpose, Rule, Setting, Whole, Wish
from aitrade_cli.units import bytes_text, share_text

SYSCTL_VM: Final = "https://docs.kernel.org/admin-guide/sysctl/vm.html"
LARGE_HOST_BYTES: Final = 64 << 30
DIRTY_BYTES: Final = 1 << 30
DIRTY_BACKGROUND_BYTES: Final = 256 << 20
LEAST_MAPPINGS: Final = 262_144
LEAST_SHARED_BYTES: Final = 1 << 30
MOST_USED: Final = 0.85  # of the group's memory limit


def swappiness(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.swap_bytes == 0:
        return Wish(None, "no swap, so nothing reads it")
    return Wish("10", f"{bytes_text(facts.swap_bytes)} of swap: idle workers stay in memory")


def write_back(value: int) -> Rule:
    def rule(facts: Facts, _: Purpose, __: str) -> Wish:
        if facts.memory_bytes < LARGE_HOST_BYTES:
            return Wish(None, f"a share of {bytes_text(facts.memory_bytes)} is little enough")
        return Wish(
            str(value), f"a share of {bytes_text(facts.memory_bytes)} is too much to write at once"
        )

    return rule


def mappings(facts: Facts, _: Purpose, __: str) -> Wish:
    found = facts.tree.value("/proc/sys/vm/max_map_count") or ""
    if found.isdigit() and int(found) > LEAST_MAPPINGS:
        return Wish(None, f"{found} mappings are enough")
    return Wish(str(LEAST_MAPPINGS), "many memory-mapped files and growing GPU segments")


def overcommit(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.tree.value("/proc/sys/vm/overcommit_memory") == "2":
        return Wish(
            None, "large programs cannot start workers under 2", "sysctl vm.overcommit_memory=0"
        )
    return Wish(None, "large programs can start workers")


def shared_now(facts: Facts, _: str) -> str | None:
    found = shared_bytes(facts)
    return None if found is None else bytes_text(found)


def shared_bytes(facts: Facts) -> int | None:
    if not facts.tree.real_kernel or not os.path.isdir("/dev/shm"):
        return None
    found = os.statvfs("/dev/shm")
    return found.f_blocks * found.f_frsize


def shared(facts: Facts, _: Purpose, __: str) -> Wish:
    found = shared_bytes(facts)
    if found is None:
        return Wish(None, "not mounted, or not asked on a tree")
    if found < LEAST_SHARED_BYTES:
        return Wish(
            None,
            "loader processes die of a bus error when it is full",
            "docker run --shm-size=8g, or mount -o remount,size=8G /dev/shm",
        )
    return Wish(None, f"{bytes_text(found)} hold the batches of many loaders")


def group_memory(facts: Facts, _: Purpose, __: str) -> Wish:
    limit = facts.group.memory_bytes
    if limit is None:
        return Wish(None, "no memory limit")
    return Wish(
        None,
        f"limit of {bytes_text(limit)}; warn from {share_text(MOST_USED, 0)} of it on",
        "`aitrade profile` shows the peak of a program",
    )


def group_memory_now(facts: Facts, _: str) -> str | None:
    limit = facts.group.memory_bytes
    return None if limit is None else bytes_text(limit)


def key(
    row: int,
    name: str,
    what: str,
    rule: Rule,
    rule_text: str,
    worth: str,
    risk: str,
    allowed: Whole,
    verdict: Class = "hygiene",
) -> Setting:
    return Setting(
        row,
        name,
        what,
        verdict,
        "sysctl",
        name,
        rule,
        rule_text,
        worth,
        SYSCTL_VM,
        risk,
        allowed,
    )


SETTINGS: Final = (
    key(
        31,
        "vm.swappiness",
        "how gladly idle memory is swapped out",
        swappiness,
        "10 where there is swap, else left",
        "insurance against a worker that was swapped out; no throughput",
        "little",
        Whole(0, 200),
    ),
    key(
        32,
        "vm.dirty_bytes",
        "unwritten bytes at which writers wait",
        write_back(DIRTY_BYTES),
        "1 GiB on hosts with more than 64 GiB, else left",
        "shorter stalls at checkpoints; no throughput",
        "writers wait sooner",
        Whole(64 << 20, 16 << 30),
    ),
    key(
        32,
        "vm.dirty_background_bytes",
        "unwritten bytes at which writing starts",
        write_back(DIRTY_BACKGROUND_BYTES),
        "256 MiB on hosts with more than 64 GiB, else left",
        "as the one above",
        "none",
        Whole(16 << 20, 8 << 30),
    ),
    Setting(
        37,
        "shm.size",
        "room for batches of loader processes",
        "hygiene",
        "advice",
        "/dev/shm",
        shared,
        "warn below 1 GiB: containers start with 64 MB",
        "avoids a bus error in a worker",
        "https://docs.pytorch.org/docs/stable/multiprocessing.html#file-system-file-system",
        "none",
        look=shared_now,
    ),
    key(
        38,
        "vm.max_map_count",
        "mappings that one process may have",
        mappings,
        "at least 262,144",
        "avoids a failed mmap in programs with many files",
        "none",
        Whole(65_530, 16_777_216),
    ),
    Setting(
        39,
        "vm.overcommit_memory",
        "whether more may be promised than there is",
        "hygiene",
        "advice",
        "vm.overcommit_memory",
        overcommit,
        "warn of 2",
        "avoids that large programs cannot start workers",
        SYSCTL_VM,
        "none",
        look=lambda facts, _: facts.tree.value("/proc/sys/vm/overcommit_memory"),
    ),
    Setting(
        45,
        "cgroup.memory",
        "memory limit of this container",
        "hygiene",
        "advice",
        "memory.max",
        group_memory,
        "reported; a peak near it ends in a kill",
        "avoids a kill",
        "https://docs.kernel.org/admin-guide/cgroup-v2.html",
        "none",
        look=group_memory_now,
    ),
)
