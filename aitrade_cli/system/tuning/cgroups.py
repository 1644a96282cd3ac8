"""What a control group lets this process have. Version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from aitrade_cli.system.tuning.tree import Tree

MOUNT: Final = "/sys/fs/cgroup"
UNLIMITED_BYTES: Final = 1 << 60  # version 1 writes a number near 2**63 for no limit


@dataclass(frozen=True, slots=True)
class Group:
    """Limits of the control groups that this process is in; the tightest of its ancestors."""

    version: int | None  # 1, 2, or None where there are none
    quota_cores: float | None  # CPU time that may be used in each second of wall time
    memory_bytes: int | None
    periods: int  # accounting periods so far in which the group ran
    throttled: int  # of them, those in which it was stopped

    @property
    def throttled_share(self) -> float | None:
        return self.throttled / self.periods if self.periods else None


def read_group(tree: Tree) -> Group:
    """Read the limits of our own group and of all groups above it."""
    version = 2 if tree.exists(f"{MOUNT}/cgroup.controllers") else 1
    paths = memberships(tree)
    cpu, memory = (
        list(folders(tree, version, paths, controller)) for controller in ("cpu", "memory")
    )
    if not cpu and not memory:
        return Group(None, None, None, 0, 0)
    quotas = [quota for one in cpu if (quota := quota_of(tree, one)) is not None]
    limits = [limit for one in memory if (limit := memory_of(tree, one)) is not None]
    periods, throttled = throttling(tree, cpu[0]) if cpu else (0, 0)
    return Group(version, min(quotas, default=None), min(limits, default=None), periods, throttled)


def memberships(tree: Tree) -> dict[str, str]:
    """The path of our group by controller; version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in (tree.text("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def folders(tree: Tree, version: int, paths: dict[str, str], controller: str) -> Iterator[str]:
    """Folders of our group for a controller, our own first, then those above.

    In a container the path may be one that only the host knows; then the mount itself is
    our group.
    """
    path = PurePosixPath(paths.get("" if version == 2 else controller, "/"))
    mount = MOUNT if version == 2 else mount_of(tree, controller)
    if mount is None:
        return
    for one in (path, *path.parents):
        folder = mount if str(one) == "/" else f"{mount}{one}"
        if tree.exists(folder):
            yield folder


def mount_of(tree: Tree, controller: str) -> str | None:
    names = [name for name in tree.names(MOUNT) if controller in name.split(",")]
    return f"{MOUNT}/{names[0]}" if names else None


def quota_of(tree: Tree, folder: str) -> float | None:
    line = tree.text(f"{folder}/cpu.max")
    if line is None:
        limit, period = (
            tree.text(f"{folder}/cpu.cfs_{name}_us") or "" for name in ("quota", "period")
        )
    else:
        limit, _, period = line.partition(" ")
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # `max` or -1
    return int(limit) / int(period)


def memory_of(tree: Tree, folder: str) -> int | None:
    text = tree.text(f"{folder}/memory.max") or tree.text(f"{folder}/memory.limit_in_bytes") or ""
    return int(text) if text.isdigit() and int(text) < UNLIMITED_BYTES else None


def throttling(tree: Tree, folder: str) -> tuple[int, int]:
    """Periods so far, and those of them in which the group was stopped."""
    lines = (line.split() for line in (tree.text(f"{folder}/cpu.stat") or "").splitlines())
    counts = {words[0]: int(words[1]) for words in lines if len(words) == 2}
    return counts.get("nr_periods", 0), counts.get("nr_throttled", 0)
