"""Profile a program: watched once, and once more by each collector that needs its own run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import psutil

import aitrade_cli.system.profiling.views  # noqa: F401 -- registers how a report is drawn
from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.system.profiling.collectors import DEFAULT, collect, plan_of
from aitrade_cli.system.profiling.evidence import Evidence, evidence_of
from aitrade_cli.system.profiling.given_input import input_is_piped
from aitrade_cli.system.profiling.health import debug_switches, health_between, read_host
from aitrade_cli.system.profiling.launch import Order, Run, run
from aitrade_cli.system.profiling.parallel import worth_of
from aitrade_cli.system.profiling.report import (
    CollectorLine,
    HostHealth,
    HotLine,
    MemoryUse,
    Phase,
    ProfileReport,
)
from aitrade_cli.system.profiling.rules import findings_of
from aitrade_cli.system.profiling.rules.feeding import MOST_WORKERS, WAIT
from aitrade_cli.system.profiling.rules.prediction import place_of
from aitrade_cli.system.profiling.rules.steps import SAVING
from aitrade_cli.system.profiling.stacks import Stacks
from aitrade_cli.system.profiling.target import Program
from aitrade_cli.system.profiling.trials import Tried, left_untried, try_fixes

LINES_SHOWN: Final = 8
POINTS: Final = 200
NAMES: Final = {
    "loader": "waiting for the loader", "forward": "forward", "backward": "backward",
    "optimizer": "optimizer", "sync": "reading tensors", "copy": "copies", "parse": "parsing text",
    "checkpoint": "checkpoints",
}  # fmt: skip
Say = Callable[[str], None]


class ProgramFailed(BadInput):
    """The program ended with an error of its own; there is nothing to profile."""

    default_hint = "run it by itself first; what it printed stands above"


class InputOnce(Usage):
    """Something is piped into a program that has to run more than once."""

    default_hint = "put the input into a file and give it with `<`"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to do beyond one watched run."""

    collectors: tuple[str, ...] = DEFAULT
    fixes: bool = False
    rounds: int = 3
    events: bool = False


WATCHED: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Profiled:
    """A report, and what the pictures and traces are made of."""

    report: ProfileReport
    stacks: Stacks | None = None
    speedscope: bytes | None = None
    events: Sequence[Sequence[object]] = field(default_factory=tuple)
    torch_trace: bytes | None = None


def profile_program(
    program: Program, wanted: Wanted = WATCHED, say: Say = lambda _: None
) -> Profiled:
    """Run a program under the watchers and say what its time goes to.

    Args:
        program: the command line; none of its files is changed.
        wanted: which collectors, and whether fixes are tried.
        say: told what runs now.

    Raises:
        ProgramFailed: it ended with an error of its own.
        UnknownCollector: a collector has no such name.
        InputOnce: it has to run several times, and its input can be read once.
    """
    plan = plan_of(wanted.collectors, program)
    if (wanted.fixes or plan.others) and input_is_piped():
        raise InputOnce("the program would run several times, and its input can be read once")
    say(f"running {program.name}\n")  # which may print
    before = read_host()
    hooks, sampler = plan.uses("hooks") and program.python is not None, plan.uses("py-spy")
    seen = run(Order(program, hooks=hooks, sampler=sampler, events=wanted.events))
    refuse_failure(program, seen)
    own = seen.cpu_seconds + seen.sampler_cpu_seconds
    switches = debug_switches(os.environ)
    health = health_between(before, read_host(), own, switches)
    evidence = evidence_of(seen, dict(os.environ), psutil.virtual_memory().available)
    beside = evidence.share("loader") >= WAIT or evidence.share("checkpoint") >= SAVING
    if beside and evidence.cores > 1:
        evidence = replace(evidence, parallel=worth_of(min(evidence.cores, MOST_WORKERS)))
    findings = findings_of(evidence)
    others = plan.others if not seen.interrupted else ()
    extra = collect(program, others, seen.wall_seconds, say)
    interrupted = seen.interrupted or extra.interrupted
    tried = Tried(tuple(findings), (), None, interrupted)
    if wanted.fixes and interrupted:
        tried = left_untried(findings, "interrupted")
    elif wanted.fixes:
        rounds, wall = wanted.rounds, seen.wall_seconds
        tried = try_fixes(program, findings, rounds=rounds, wall_seconds=wall, say=say)
    lines = (*own_collectors(seen, evidence, plan.skipped), *extra.lines)
    first = findings[0].kind if findings else None
    report = report_of(program, seen, evidence, tried, health, lines, first)
    return Profiled(
        with_memory(report, extra.memory),
        seen.stacks,
        seen.speedscope,
        (seen.evidence or {}).get("events", ()),
        extra.torch_trace,
    )


def refuse_failure(program: Program, seen: Run) -> None:
    if seen.interrupted or seen.exit_code == 0:
        return
    last = f": {seen.last_words[-1]}" if seen.last_words else ""
    raise ProgramFailed(
        f"`{program.name}` ended with {seen.exit_code} after {seen.wall_seconds:.1f} s{last}"
    )


def report_of(
    program: Program,
    seen: Run,
    evidence: Evidence,
    tried: Tried,
    health: HostHealth,
    collectors: Sequence[CollectorLine],
    first: str | None = None,
) -> ProfileReport:
    """Put it all into one report."""
    told = seen.evidence or {}
    spent = sum(float(told.get(name) or 0.0) for name in ("hook_seconds", "sampler_cpu_seconds"))
    spent += seen.sampler_cpu_seconds
    overhead = spent / max(evidence.wall - spent, 1e-3)
    if tried.plain_seconds:
        overhead = seen.wall_seconds / tried.plain_seconds - 1.0
    return ProfileReport(
        target=program.name,
        wall_seconds=round(evidence.wall, 3),
        cpu_seconds=round(seen.cpu_seconds, 3),
        plain_seconds=round(tried.plain_seconds, 3) if tried.plain_seconds else None,
        overhead_share=round(overhead, 4),
        overhead_measured=tried.plain_seconds is not None,
        findings=tried.findings,
        unconfirmed=tried.unconfirmed,
        untried=tried.untried,
        phases=phases_of(evidence),
        lines=hot_lines(evidence),
        memory=memory_of(evidence, seen),
        health=health,
        collectors=tuple(collectors),
        interrupted=seen.interrupted or tried.interrupted,
        notes=notes_of(program, evidence, tried.why_untried),
        first_predicted=first,
    )


def phases_of(evidence: Evidence) -> tuple[Phase, ...]:
    """What the hooks told apart, imports and all else included."""
    found = []
    if evidence.imports > 0.0:
        found.append(
            Phase("imports", round(evidence.imports, 3), share(evidence.imports, evidence), 1)
        )
    for kind, name in NAMES.items():
        seconds = evidence.seconds(kind)
        if seconds > 0.0:
            row = Phase(name, round(seconds, 3), share(seconds, evidence), evidence.calls(kind))
            found.append(row)
    rest = max(evidence.wall - sum(one.seconds for one in found), 0.0)
    found.append(Phase("all else", round(rest, 3), share(rest, evidence), 1))
    return tuple(sorted(found, key=lambda one: -one.seconds))


def share(seconds: float, evidence: Evidence) -> float:
    return round(seconds / evidence.wall, 4)


def hot_lines(evidence: Evidence) -> tuple[HotLine, ...]:
    """The lines of the user's code that most time passed at."""
    return tuple(
        HotLine(
            place_of(one.file, one.line), one.function,
            share(one.seconds, evidence), share(one.own_seconds, evidence),
        )
        for one in evidence.lines[:LINES_SHOWN]
    )  # fmt: skip


def memory_of(evidence: Evidence, seen: Run) -> MemoryUse | None:
    """Memory over time; None where nothing was seen of it."""
    rows = evidence.samples
    if not rows:
        peak = seen.peak_bytes
        return MemoryUse(peak, peak, peak, None, (), 0) if peak else None
    working = [row for row in rows if row[0] >= evidence.imports] or list(rows)
    peak = max(row[1] for row in working)
    top = max(number for number, row in enumerate(working) if row[1] >= 0.98 * peak)
    half = working[(top + 1) // 2 : top + 1]
    passed = half[-1][0] - half[0][0]
    # A shorter look sees the first step's buffers, not a growth.
    growth = (half[-1][1] - half[0][1]) / passed if passed > 1.0 else None
    step = max(1, len(rows) // POINTS)
    return MemoryUse(
        peak_bytes=max(seen.peak_bytes, *(row[1] for row in rows)),
        start_bytes=working[0][1],
        end_bytes=rows[-1][1],
        growth_bytes_per_s=None if growth is None else round(growth, 1),
        timeline=tuple((round(at, 3), size) for at, size in rows[::step]),
        minor_faults=evidence.faults,
    )


def with_memory(report: ProfileReport, by_line: tuple[tuple[str, int], ...]) -> ProfileReport:
    if report.memory is None or not by_line:
        return report
    return replace(report, memory=replace(report.memory, by_line=by_line))


def own_collectors(
    seen: Run, evidence: Evidence, skipped: Sequence[CollectorLine]
) -> list[CollectorLine]:
    """The lines of the hooks and of the outside sampler."""
    found = list(skipped)
    top = evidence.lines[0] if evidence.lines else None
    place = place_of(top.file, top.line) if top else None
    part = share(top.seconds, evidence) if top else None
    if seen.evidence is not None:
        found.append(CollectorLine("hooks", "ran", "", round(seen.wall_seconds, 3)))
    if seen.stacks is not None:
        found.append(CollectorLine("py-spy", "ran", "", round(seen.wall_seconds, 3), place, part))
    elif seen.sampler_reason:
        found.append(CollectorLine("py-spy", "skipped", seen.sampler_reason))
    return found


def notes_of(program: Program, evidence: Evidence, untried: str = "") -> tuple[str, ...]:
    notes = []
    if untried:
        notes.append(f"trying the fixes ended early: {untried}")
    if program.python is None:
        notes.append("not started as `python SCRIPT`: no hooks, so no phases and no memory by time")
    if evidence.facts.get("compiled"):
        notes.append("forward passes and copies are not told apart after `torch.compile`")
    working = evidence.share("forward", "backward")
    if working > 0.5:
        notes.append(
            f"{working:.0%} is the network itself: `aitrade tune-system` sets threads and memory;"
            " a narrower network comes from `aitrade prune` or `distill`"
        )
    return tuple(notes)
