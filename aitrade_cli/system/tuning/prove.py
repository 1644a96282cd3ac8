"""Keep what makes the user's own command faster beyond the noise, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.cgroups import read_group
from aitrade_cli.system.tuning.dropins import ENVIRONMENT, Places, entries_in
from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.plan import IN_KERNEL, UNSET, Decision, Line, Plan, setting_of
from aitrade_cli.system.tuning.proofs import Candidate, Proof, Trial
from aitrade_cli.system.tuning.revert import AlreadyUndone, revert
from aitrade_cli.system.tuning.settings import SETTINGS
from aitrade_cli.system.tuning.settings.kinds import Setting
from aitrade_cli.system.tuning.trials import (
    Arm,
    Comparison,
    Sample,
    compare,
    median_of,
    race,
    run_command,
)
from aitrade_cli.units import ratio_text

BASE: Final = "as it is"
AGAIN: Final = "as it is, again"
GIVEN: Final = "as your shell has it"
TOGETHER: Final = "together"
KERNEL: Final = "kernel values"
# Rows that only make sense together.
GROUPS: Final = {
    1: "thread budget",
    4: "large tensors",
    5: "tcmalloc",
    6: "jemalloc",
    7: "large tensors",
    8: "large tensors",
    11: "binding",
    17: "oneDNN cache",
}
Say = Callable[[str], None]


def prove(
    plan: Plan,
    facts: Facts,
    places: Places,
    command: Sequence[str],
    *,
    rounds: int = 5,
    seed: int = 0,
    say: Say = lambda _: None,
    kernel_too: bool = True,
) -> tuple[Proof, Plan]:
    """Measure what each part of a plan does to a command.

    Settings of the environment are set for single runs only. Kernel values are applied and
    undone around each run, journal and all, where they may be. The base runs without any of the
    variables; where this process has some, one more arm has them as they are, and the proof
    names them.

    Returns:
        The proof, and the plan with everything left out or taken back that gained nothing.

    Raises:
        CommandFailed: the command did not end well.
        TooFewRounds: fewer than five.
    """
    candidates = candidates_of(plan, facts)
    kernel = kernel_lines(plan) if kernel_too else ()
    holding = around_kernel(replace(plan, lines=kernel), facts, places)
    unset = {name: None for one in candidates for name in one.variables}
    given = tuple(f"{name}={os.environ[name]}" for name in sorted(unset) if name in os.environ)
    arms = [Arm(BASE, unset), Arm(AGAIN, unset)]
    arms += [Arm(GIVEN, {})] if given else []
    arms += [Arm(one.name, {**unset, **one.variables}) for one in candidates]
    if kernel:
        candidates.append(Candidate(KERNEL, {line.key: line.wanted or "" for line in kernel}))
        arms.append(Arm(KERNEL, unset, holding))

    def run(arm: Arm) -> Sample:
        return run_command(command, arm, throttled=lambda: read_group(facts.tree).throttled)

    found = race(arms, run, rounds=rounds, seed=seed, say=say)
    speeds = judge(found, seed)
    winners = best_of(candidates, speeds)
    if len(winners) > 1:
        arms = [arms[0], arms[1], together(winners, unset, holding)]
        last = race(arms, run, rounds=rounds, seed=seed + 1, say=say)
        joint = judge(last, seed)[TOGETHER]
        best = max(winners, key=lambda one: speeds[one.name].ratio)
        if joint.standing != "gain" or joint.ratio < speeds[best.name].low:
            winners = [best]
        found[TOGETHER], speeds[TOGETHER] = last[TOGETHER], joint
    proof = proof_of(command, rounds, found, speeds, candidates, winners, plan)
    proof = replace(proof, taken_out=given)
    return proof, kept_plan(plan, winners, speeds, candidates, facts, places)


def candidates_of(plan: Plan, facts: Facts) -> list[Candidate]:
    """What can be judged: each group of variables, one thread, and what only a measurement asks."""
    groups: dict[str, dict[str, str]] = {}
    for line in plan.of("change", "already", "not asked"):
        setting = setting_of(line.key)
        if line.backend != "environment" or not line.speed or line.wanted in {None, UNSET}:
            continue
        if line.decision == "not asked" and setting.purposes:
            continue  # another purpose's
        if line.key == "env.OMP_NUM_THREADS" and line.wanted == str(facts.threads):
            continue  # what the command does anyway
        name = GROUPS.get(setting.row, setting.id)
        groups.setdefault(name, {})[line.key] = line.wanted or ""
    found = [Candidate(name, values) for name, values in groups.items()]
    threads = [line for line in plan.lines if line.key == "env.OMP_NUM_THREADS"]
    if threads and threads[0].wanted != "1" and facts.threads != 1:
        found.append(Candidate("one thread", {"env.OMP_NUM_THREADS": "1"}))
    return found


def kernel_lines(plan: Plan) -> tuple[Line, ...]:
    """Kernel values that can make a program faster and may be set from here."""
    return tuple(
        line
        for line in plan.of("change")
        if line.backend in IN_KERNEL and line.speed and line.verdict in {"proven", "situational"}
    )


def around_kernel(
    plan: Plan, facts: Facts, places: Places
) -> Callable[[], AbstractContextManager[object]]:
    """Hold kernel values for one run, as a journalled run of its own."""

    @contextmanager
    def held() -> Iterator[None]:
        with ended_as_by_ctrl_c():
            done = apply_plan(
                plan, facts.tree, places, now=datetime.now(UTC), extent="runtime", trial=True
            )
            try:
                yield
            finally:
                if done.run_id:
                    with suppress(AlreadyUndone):  # by somebody who saw it meanwhile
                        revert(facts.tree, places, done.run_id)

    return held if plan.lines else nullcontext


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, as from ``timeout``, unwind what is held instead of ending at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def together(
    winners: Sequence[Candidate],
    unset: Mapping[str, None],
    holding: Callable[[], AbstractContextManager[object]],
) -> Arm:
    variables: dict[str, str | None] = dict(unset)
    for one in winners:
        variables |= one.variables
    kernel = any(one.name == KERNEL for one in winners)
    return Arm(TOGETHER, variables, holding if kernel else nullcontext)


def judge(found: Mapping[str, Sequence[Sample]], seed: int) -> dict[str, Comparison]:
    times = {name: [one.wall_seconds for one in samples] for name, samples in found.items()}
    return {
        name: compare(times[BASE], times[AGAIN], times[name], seed=seed)
        for name in times
        if name not in {BASE, AGAIN}
    }


def best_of(candidates: Sequence[Candidate], speeds: Mapping[str, Comparison]) -> list[Candidate]:
    """Winners; of two that set the same, the faster."""
    found: list[Candidate] = []
    ordered = sorted(candidates, key=lambda one: -speeds[one.name].ratio)
    for one in ordered:
        taken = {name for other in found for name in other.variables}
        if speeds[one.name].standing == "gain" and not taken & set(one.variables):
            found.append(one)
    return found


def proof_of(
    command: Sequence[str],
    rounds: int,
    found: Mapping[str, Sequence[Sample]],
    speeds: Mapping[str, Comparison],
    candidates: Sequence[Candidate],
    winners: Sequence[Candidate],
    plan: Plan,
) -> Proof:
    keys = {one.name: tuple(one.values) for one in candidates}
    kept = {one.name for one in winners}
    trials = tuple(
        trial_of(name, keys.get(name, ()), samples, speeds.get(name), kept=name in kept)
        for name, samples in found.items()
    )
    judged = {key for one in candidates for key in one.values}
    others = [line for line in plan.of("change") if line.key not in judged]
    not_judged = tuple(f"{line.key}: {why_not_judged(line)}" for line in others)
    bands = [speed.band for name, speed in speeds.items() if name != TOGETHER]
    return Proof(tuple(command), rounds, max(bands, default=1.0), trials, not_judged)


def trial_of(
    name: str,
    keys: tuple[str, ...],
    samples: Sequence[Sample],
    speed: Comparison | None,
    *,
    kept: bool,
) -> Trial:
    return Trial(
        name,
        keys,
        median_of(samples, "wall_seconds"),
        median_of(samples, "cpu_seconds"),
        median_of(samples, "minor_faults"),
        median_of(samples, "switches"),
        median_of(samples, "throttled"),
        speed,
        kept,
    )


def why_not_judged(line: Line) -> str:
    if line.key == "env.OMP_NUM_THREADS":
        return "the command has that many threads anyway"
    return "no matter of speed; `--apply` without `--prove` sets it"


def kept_plan(
    plan: Plan,
    winners: Sequence[Candidate],
    speeds: Mapping[str, Comparison],
    candidates: Sequence[Candidate],
    facts: Facts,
    places: Places,
) -> Plan:
    """The plan with what won, and the rest left out or taken back."""
    won = {key: (value, one) for one in winners for key, value in one.values.items()}
    lost = {key: speeds[one.name] for one in candidates for key in one.values if key not in won}
    ours = entries_in(facts.tree, places, ENVIRONMENT)
    lines = []
    for line in plan.lines:
        if line.key in won:
            value, one = won[line.key]
            why = f"{ratio_text(speeds[one.name].ratio)} on the command"
            here = line.backend == "environment" and ours.get(line.place) == value
            decision: Decision = "already" if here else "change"
            lines.append(replace(line, wanted=value, decision=decision, why=why))
        elif line.decision in {"change", "already"}:
            lines.append(left_out(line, lost.get(line.key), ours))
        else:
            lines.append(line)
    return replace(plan, lines=tuple(lines), measured=tuple(places_of(won)))


def left_out(line: Line, speed: Comparison | None, ours: Mapping[str, str]) -> Line:
    why = why_not_judged(line)
    if speed is not None:
        why = f"{ratio_text(speed.ratio)} on the command, noise up to {ratio_text(speed.band)}"
    if line.backend == "environment" and line.place in ours:
        return replace(line, wanted=UNSET, decision="change", why=why)
    return replace(line, decision="leave", why=why)


def places_of(keys: Mapping[str, object]) -> list[str]:
    found: list[Setting] = [one for one in SETTINGS if one.id in keys]
    return [one.place for one in found if one.backend == "environment"]
