"""What a control group lets this process have. Version 1, 2, and both side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One tree of groups, as far as it is mounted here."""

    folder: str
    top: str  # the group that the folder shows; in a container, its own
    controllers: frozenset[str]  # empty for version 2


def read_group(tree: Tree) -> Group:
    """Read the limits of our own group and of all groups above it."""
    mounted, paths = hierarchies(tree), memberships(tree)
    cpu, memory = (
        list(folders(tree, mounted, paths, controller)) for controller in ("cpu", "memory")
    )
    if not cpu and not memory:
        return Group(None, None, None, 0, 0)
    quotas = [quota for one in cpu if (quota := quota_of(tree, one)) is not None]
    limits = [limit for one in memory if (limit := memory_of(tree, one)) is not None]
    # A group is also stopped by the quota of one above, which alone counts it.
    stops = [throttling(tree, one) for one in cpu]
    periods, throttled = max(stops, key=lambda stop: stop[1], default=(0, 0))
    version = 1 if any("cpu" in one.controllers for one in mounted) else 2
    return Group(version, min(quotas, default=None), min(limits, default=None), periods, throttled)


def memberships(tree: Tree) -> dict[str, str]:
    """The path of our group by controller; version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in (tree.text("/proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def hierarchies(tree: Tree) -> list[Hierarchy]:
    """What is mounted; guessed from the usual folders where the tree does not say."""
    found: list[Hierarchy] = []
    for line in (tree.text("/proc/self/mountinfo") or "").splitlines():
        mount, _, kind = line.partition(" - ")
        words, (system, *rest) = mount.split(), kind.split() or [""]
        if system in {"cgroup", "cgroup2"} and len(words) > 4:
            controllers = rest[-1].split(",") if system == "cgroup" and rest else ()
            found.append(Hierarchy(words[4], words[3], frozenset(controllers)))
    return found or usual_hierarchies(tree)


def usual_hierarchies(tree: Tree) -> list[Hierarchy]:
    if tree.exists(f"{MOUNT}/cgroup.controllers") or tree.exists(f"{MOUNT}/cpu.max"):
        return [Hierarchy(MOUNT, "/", frozenset())]
    return [
        Hierarchy(f"{MOUNT}/{name}", "/", frozenset(name.split(",") if name != "unified" else ()))
        for name in tree.names(MOUNT)
    ]


def folders(
    tree: Tree, mounted: Sequence[Hierarchy], paths: dict[str, str], controller: str
) -> Iterator[str]:
    """Folders of our group for a controller, our own first, then those above that are seen.

    In a container the path may be one that only the host knows; then the mount itself is
    our group.
    """
    first = [one for one in mounted if controller in one.controllers]
    for hierarchy in first or [one for one in mounted if not one.controllers]:
        path = PurePosixPath(paths.get(controller if first else "", "/"))
        if path.is_relative_to(hierarchy.top):
            path = "/" / path.relative_to(hierarchy.top)
        for one in (path, *path.parents):
            folder = hierarchy.folder if str(one) == "/" else f"{hierarchy.folder}{one}"
            if ".." not in one.parts and tree.exists(folder):
                yield folder
        return


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
