"""What all watchers of one run saw, in one shape for the rules."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aitrade_cli.system.host import cores_within, quota_cores, usable_cores
from aitrade_cli.system.profiling.hooks.recorder import is_user_file
from aitrade_cli.system.profiling.hooks.sampler import EVERY_SECONDS_ALONE
from aitrade_cli.system.profiling.launch import Run
from aitrade_cli.system.profiling.sampling import RATE
from aitrade_cli.system.profiling.stacks import LineTime, importing, lines_of


@dataclass(frozen=True, slots=True)
class Site:
    """Hooked calls of one kind from one line."""

    kind: str
    outer: str  # the kind of call that these stand inside; empty for the outermost
    file: str
    line: int
    function: str
    calls: int
    seconds: float
    cpu_seconds: float
    size: float  # bytes or samples, summed


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run, as the rules see it. Times in seconds; ``wall`` is what shares are of."""

    wall: float
    cpu: float
    system: float = 0.0
    sites: tuple[Site, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[LineTime, ...] = ()  # of the main thread, most first
    imports: float = 0.0
    import_place: tuple[str, int] | None = None
    faults: int = 0
    fault_seconds: float = 0.0  # what one costs here
    fault_lines: tuple[tuple[str, int, float], ...] = ()
    # By line: samples, and those in which bytecode ran rather than a call into numpy or torch.
    interpreted: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    samples: tuple[tuple[float, int], ...] = ()  # seconds, resident bytes
    grown: tuple[Mapping[str, Any], ...] = ()
    collections: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: int = 1
    outside: bool = False  # whether the lines come from an outside sampler
    # What processes at once get done here, in times of one alone; None: nobody asked.
    parallel: tuple[float, float] | None = None
    free_bytes: int = 0

    def seconds(self, *kinds: str) -> float:
        """Time in calls of these kinds, none inside another hooked call."""
        found = (one.seconds for one in self.sites if one.kind in kinds and not one.outer)
        return sum(found, 0.0)

    def share(self, *kinds: str) -> float:
        """The same as a share of the wall time."""
        return self.seconds(*kinds) / self.wall

    def calls(self, kind: str) -> int:
        """How often, none inside another."""
        return sum(one.calls for one in self.sites if one.kind == kind and not one.outer)

    def of(self, kind: str) -> list[Site]:
        """Outermost call sites in the user's files, longest first."""
        found = [one for one in self.sites if one.kind == kind and not one.outer]
        return sorted((one for one in found if is_user_file(one.file)), key=lambda s: -s.seconds)

    def spread(self, share: float) -> float:
        """Two standard errors of a share that was counted in samples."""
        rate = RATE if self.outside else 1.0 / EVERY_SECONDS_ALONE
        return 2.0 * math.sqrt(max(share * (1.0 - share), 0.0) / max(rate * self.wall, 1.0))

    def at(self, file: str, line: int) -> LineTime | None:
        """What the samples say of one line."""
        return next((one for one in self.lines if (one.file, one.line) == (file, line)), None)


def cores_here() -> int:
    """Cores this process may really use: the affinity, cut by a container's limit."""
    return cores_within(len(usable_cores()), quota_cores())


def evidence_of(run: Run, environment: Mapping[str, str], free_bytes: int) -> Evidence:
    """Gather what the hooks, the sampler and the operating system saw of one run."""
    told = run.evidence or {}
    wall = float(told.get("wall_seconds") or run.wall_seconds)
    lines, imports, place = sampled(run, told, wall)
    rows = told.get("samples", ())
    return Evidence(
        wall=max(wall, 1e-3),
        cpu=float(told.get("cpu_seconds") or run.cpu_seconds),
        system=float(told.get("system_seconds") or 0.0),
        sites=tuple(Site(**row) for row in told.get("sites", ())),
        facts=told.get("facts", {}),
        lines=lines,
        imports=imports,
        import_place=place,
        faults=int(told.get("minor_faults") or 0),
        fault_seconds=float(told.get("fault_seconds") or 0.0),
        fault_lines=fault_lines(told.get("lines", ())),
        interpreted={(str(r[0]), int(r[1])): (int(r[2]), int(r[4])) for r in told.get("lines", ())},
        samples=tuple((float(row[0]), int(row[1])) for row in rows),
        grown=tuple(told.get("grown", ())),
        collections=float(told.get("collections", {}).get("seconds", 0.0)),
        environment=environment,
        cores=cores_here(),
        outside=run.stacks is not None,
        free_bytes=free_bytes,
    )


def sampled(
    run: Run, told: Mapping[str, Any], wall: float
) -> tuple[tuple[LineTime, ...], float, tuple[str, int] | None]:
    """Lines, import time and the line that imports most."""
    if run.stacks is None:
        rows = told.get("lines", ())
        count = sum(row[2] for row in rows) + told.get("importing", 0)
        each = wall / count if count else 0.0
        lines = [LineTime(row[0], row[1], "", row[2] * each, 0.0) for row in rows]
        lines.sort(key=lambda one: -one.seconds)
        return tuple(lines), told.get("importing", 0) * each, None
    # Samples that were missed are missed everywhere alike.
    scale = wall / run.stacks.seconds if run.stacks.seconds else 1.0
    imports, places = 0.0, defaultdict[tuple[str, int], float](float)
    for stack, seconds in run.stacks.main.items():
        if importing(stack):
            imports += seconds * scale
            at = next((one for one in stack if is_user_file(one.file)), None)
            if at is not None:
                places[at.file, at.line] += seconds
    top = max(places, key=lambda at: places[at], default=None)
    return (
        tuple(scaled(lines_of(run.stacks.main), scale)),
        imports,
        top,
    )


def scaled(lines: Iterable[LineTime], factor: float) -> list[LineTime]:
    return [
        LineTime(one.file, one.line, one.function, one.seconds * factor, one.own_seconds * factor)
        for one in lines
    ]


def fault_lines(rows: Iterable[Any]) -> tuple[tuple[str, int, float], ...]:
    found = [(str(row[0]), int(row[1]), float(row[3])) for row in rows]
    return tuple(sorted(found, key=lambda row: -row[2]))
