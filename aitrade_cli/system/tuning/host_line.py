"""A host as a report shows it."""

from __future__ import annotations

from dataclasses import dataclass

from aitrade_cli.system.tuning.facts import Facts


@dataclass(frozen=True, slots=True)
class HostLine:
    """The host as the rules saw it."""

    system: str
    kernel: str
    cpu: str
    processors_online: int
    processors_usable: int
    cores_physical: int
    threads_per_core: int
    memory_nodes: int
    cgroup_version: int | None
    quota_cores: float | None
    throttled_share: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    swap_bytes: int
    gpus: tuple[str, ...]
    torch: str | None
    openmp: str | None
    allocator: str | None
    closed: tuple[str, ...]  # parts of the kernel that may not be set from here
    cores_budget: int


def host_line(facts: Facts) -> HostLine:
    names = [name for name in facts.mapped if "omp" not in name]
    return HostLine(
        facts.system,
        facts.release,
        facts.cpu,
        facts.topology.online,
        facts.topology.usable,
        facts.topology.physical,
        facts.topology.threads_per_core,
        facts.topology.nodes,
        facts.group.version,
        facts.group.quota_cores,
        facts.group.throttled_share,
        facts.memory_bytes,
        facts.group.memory_bytes,
        facts.swap_bytes,
        tuple(gpu.name for gpu in facts.gpus),
        facts.torch,
        next((name for name in facts.mapped if "omp" in name), None),
        next((name for name in names if "malloc" in name), next(iter(names), None)),
        tuple(f"{part}: {reason}" for part, reason in facts.closed.items()),
        facts.cores,
    )
