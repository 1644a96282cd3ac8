"""Run a program with each fix beside the unfixed one, and twice unfixed to see the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.profiling.launch import Order, Run, run
from aitrade_cli.system.profiling.report import Finding, Fix, Output, Resource, Trial
from aitrade_cli.system.profiling.target import Program

SLOWEST: Final = 3.0  # times the unfixed wall time; then a run is given up
LEAST_SECONDS: Final = 10.0  # more than it, to compile and to start what a fix brings
LEAST_ROUNDS: Final = 3  # with two, six of a hundred identical programs would be called better
Runner = Callable[[Order], Run]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tried:
    """What the reruns left of the findings.

    Attributes:
        findings: confirmed by the reruns, or advice that no rerun can try.
        unconfirmed: tried, and no better than the noise.
        plain_seconds: the program unwatched.
        interrupted: the reruns ended early.
        untried: with a fix that no rerun confirmed or denied; the fix is left out.
        why_untried: what ended the reruns.
    """

    findings: tuple[Finding, ...]
    unconfirmed: tuple[Finding, ...]
    plain_seconds: float | None
    interrupted: bool = False
    untried: tuple[Finding, ...] = ()
    why_untried: str = ""


class TooFewReruns(Usage):
    """Fewer reruns than tell a gain from luck."""


def left_untried(findings: Sequence[Finding], why: str, *, interrupted: bool = True) -> Tried:
    """No fix is reported that a rerun did not confirm: those stand apart, without it."""
    advised = tuple(one for one in findings if not one.fix.can_be_tried)
    rest = tuple(
        replace(one, fix=Fix("advice", f"its fix was not tried: {why}"))
        for one in findings
        if one.fix.can_be_tried
    )
    return Tried(advised, (), None, interrupted, rest, why)


def try_fixes(
    program: Program,
    findings: Sequence[Finding],
    *,
    rounds: int,
    wall_seconds: float,
    say: Say,
    runner: Runner = run,
) -> Tried:
    """Measure every fix that can be tried, and drop what the reruns do not confirm.

    Each round runs the program unfixed, with every fix, and unfixed again, in turning order,
    so that what slows the machine down for a while slows all of them.

    Args:
        program: what to run; none of its files is changed.
        findings: as they were predicted, most promising first.
        rounds: how often each is run, >= 3.
        wall_seconds: what the watched run took; a run that takes three times that is given up.
        say: told what runs now.
        runner: runs one order; the tests put their own in.

    Raises:
        TooFewReruns: fewer than three.
    """
    if rounds < LEAST_ROUNDS:
        raise TooFewReruns(f"{rounds} rounds tell no gain from luck", hint="give 3 or more")
    tried = [one for one in findings if one.fix.can_be_tried]
    if not tried:
        return Tried(tuple(findings), (), None)
    seen: list[list[Run]] = [[] for _ in range(len(tried) + 2)]
    limit = limit_of(wall_seconds)
    for number in range(rounds):
        plain = Order(program, quiet=True, through=True, limit_seconds=limit)
        orders = [plain, *(fixed(plain, one.fix) for one in tried), plain]
        places = list(range(len(orders)))
        for at in places[number % len(places) :] + places[: number % len(places)]:
            say(f"round {number + 1} of {rounds}: {name_of(at, tried)}")
            done = runner(orders[at])
            seen[at].append(done)
            if done.interrupted:
                return left_untried(findings, "interrupted")
            if orders[at] is plain and (done.killed or done.exit_code != 0):
                told = f"run again as it is the program ended with {why(done)}"
                return left_untried(findings, told, interrupted=False)
        limit = limit_of(max(one.wall_seconds for one in (*seen[0], *seen[-1])))
    return judged(findings, tried, seen)


def name_of(at: int, tried: Sequence[Finding]) -> str:
    if at in {0, len(tried) + 1}:
        return "as it is"
    return f"with the fix of {tried[at - 1].kind.replace('_', ' ')}"


def limit_of(seconds: float) -> float:
    """When a run is given up, from what the unfixed program takes."""
    return max(SLOWEST * seconds, seconds + LEAST_SECONDS)


def fixed(plain: Order, fix: Fix) -> Order:
    """The order with a fix in it."""
    texts = {fix.file: fix.patched} if fix.file else {}
    return replace(plain, environment=fix.environment, texts=texts)


def judged(
    findings: Sequence[Finding], tried: Sequence[Finding], seen: Sequence[Sequence[Run]]
) -> Tried:
    """Replace each prediction with what was measured."""
    first, again = seen[0], seen[-1]
    trials = {
        id(one): trial_of(one, first, again, runs)
        for one, runs in zip(tried, seen[1:-1], strict=True)
    }
    told = [replace(one, trial=trials.get(id(one))) for one in findings]
    kept = [one for one in told if one.trial is None or one.trial.confirmed]
    measured = sorted(
        (one for one in kept if one.trial), key=lambda one: -(one.trial.gain if one.trial else 0)
    )
    rest = [one for one in kept if one.trial is None]
    lost = [one for one in told if one.trial is not None and not one.trial.confirmed]
    plain = median(one.wall_seconds for one in (*first, *again))
    return Tried((*measured, *rest), tuple(lost), plain)


def trial_of(
    finding: Finding, first: Sequence[Run], again: Sequence[Run], runs: Sequence[Run]
) -> Trial:
    """What one fix gained.

    It counts where each round was better than the better of the two unfixed runs of that
    round, and the median gain is beyond the largest difference between those two.
    """
    failed = next((one for one in runs if one.exit_code != 0 or one.killed), None)
    pairs = list(zip(first, again, runs, strict=True))
    used = [tuple(spent(one, finding.resource) for one in triple) for triple in pairs]
    gains = [(a + b) / 2 / fixed for a, b, fixed in used]
    band = max(max(a, b) / min(a, b) for a, b, _ in used)
    gain = median(gains)
    better = all(min(a, b) > fixed for a, b, fixed in used)
    return Trial(
        gain=round(gain, 3),
        gain_low=round(min(gains), 3),
        gain_high=round(max(gains), 3),
        same_twice=round(band, 3),
        rounds=len(runs),
        confirmed=failed is None and better and gain > band,
        inside=failed is None and finding.gain_low <= gain <= finding.gain_high,
        output=outputs(first, again, runs),
        failed=why(failed) if failed else "",
    )


def spent(one: Run, resource: Resource) -> float:
    return max(one.wall_seconds if resource == "time" else float(one.peak_bytes), 1e-6)


def outputs(first: Sequence[Run], again: Sequence[Run], runs: Sequence[Run]) -> Output:
    """Whether the fixed program prints what the unfixed one does."""
    plain = {one.output_sha256 for one in (*first, *again)}
    if len(plain) > 1:
        return "varies by itself"
    return "the same" if {one.output_sha256 for one in runs} == plain else "differs"


def why(failed: Run) -> str:
    """How a program ended that did not end well."""
    if failed.killed:
        return f"given up after {failed.wall_seconds:.0f} s"
    last = failed.last_words[-1] if failed.last_words else ""
    return f"exit code {failed.exit_code}" + (f": {last}" if last else "")
