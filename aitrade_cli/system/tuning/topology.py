"""How many real cores may be used, read from sysfs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from aitrade_cli.system.tuning.tree import Tree

CPUS: Final = "/sys/devices/system/cpu"
NODES: Final = "/sys/devices/system/node"


@dataclass(frozen=True, slots=True)
class Topology:
    """Processors that may be scheduled on, and how they share cores and memory."""

    online: int
    usable: int  # logical processors in our affinity mask
    physical: int  # distinct cores among them
    nodes: int  # memory nodes that have processors

    @property
    def threads_per_core(self) -> int:
        return max(1, round(self.usable / max(self.physical, 1)))


def read_topology(tree: Tree) -> Topology:
    """Count processors, cores and nodes."""
    online = cpu_list(tree.text(f"{CPUS}/online") or "") or set(range(os.cpu_count() or 1))
    usable = online & allowed(tree) or online
    return Topology(len(online), len(usable), physical(tree, usable), nodes(tree))


def allowed(tree: Tree) -> set[int]:
    """Processors of our affinity mask; on a tree, of its ``cpuset``."""
    if tree.real_kernel and hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    for name in ("cpuset.cpus.effective", "cpuset/cpuset.effective_cpus", "cpuset/cpuset.cpus"):
        if text := tree.text(f"/sys/fs/cgroup/{name}"):
            return cpu_list(text)
    return cpu_list(tree.text(f"{CPUS}/online") or "")


def physical(tree: Tree, usable: set[int]) -> int:
    """Cores that ``usable`` belong to; a processor that names no siblings counts as one."""
    siblings = (
        tree.text(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in usable
    )
    return max(1, len(set(siblings)))


def nodes(tree: Tree) -> int:
    lists = (
        tree.text(f"{NODES}/{name}/cpulist")
        for name in tree.names(NODES)
        if name.removeprefix("node").isdigit()
    )
    return max(1, sum(1 for text in lists if text))


def cpu_list(text: str) -> set[int]:
    """``0-2,8`` gives 0, 1, 2 and 8."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit():
            found |= set(range(int(first), int(last if last.isdigit() else first) + 1))
    return found
