"""Run a program with each fix beside the unfixed one, and twice unfixed to see the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.profiling.gains import trial_of, undecided, why
from aitrade_cli.system.profiling.launch import Order, Run, run
from aitrade_cli.system.profiling.report import Finding, Fix, Trial
from aitrade_cli.system.profiling.target import Program

SLOWEST: Final = 3.0  # times the unfixed wall time; then a run is given up
LEAST_SECONDS: Final = 10.0  # more than it, to compile and to start what a fix brings
LEAST_ROUNDS: Final = 3  # with two, six of a hundred identical programs would be called better
LOOKS: Final = 4  # times the rounds asked for, at most, while the noise hides what a fix gains
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
        why_untried: what ended the reruns early.
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
        without_fix(one, f"its fix was not tried: {why}")
        for one in findings
        if one.fix.can_be_tried
    )
    return Tried(advised, (), None, interrupted, rest, why)


def without_fix(finding: Finding, told: str) -> Finding:
    return replace(finding, fix=Fix("advice", told))


@dataclass(slots=True)
class Reruns:
    """Whole rounds of one program: unfixed, with each fix that is still open, and unfixed again.

    Attributes:
        tried: the findings whose fixes are run.
        first: the unfixed runs, one a round.
        again: the others.
        by_fix: runs with each fix, from the first round until it was decided.
    """

    tried: Sequence[Finding]
    first: list[Run] = field(default_factory=list)
    again: list[Run] = field(default_factory=list)
    by_fix: dict[int, list[Run]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_fix = {id(one): [] for one in self.tried}

    def add(self, still: Sequence[Finding], runs: Sequence[Run]) -> None:
        """Keep a round; ``runs`` in the order of `orders_of`."""
        self.first.append(runs[0])
        for one, done in zip(still, runs[1:-1], strict=True):
            self.by_fix[id(one)].append(done)
        self.again.append(runs[-1])

    def trial(self, one: Finding) -> Trial:
        """What the rounds that a fix had its turn in say of it."""
        runs = self.by_fix[id(one)]
        return trial_of(one, self.first[: len(runs)], self.again[: len(runs)], runs)

    def undecided_of(self, left: Sequence[Finding]) -> list[Finding]:
        """The findings that more rounds could decide."""
        return [one for one in left if undecided(self.trial(one))]


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
    so that what slows the machine down for a while slows all of them. Where the noise leaves a
    fix undecided, it has as many rounds again, up to four times as many.

    Args:
        program: what to run; none of its files is changed.
        findings: as they were predicted, most promising first.
        rounds: how often each is run at least, >= 3.
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
    reruns, still, limit = Reruns(tried), tried, limit_of(wall_seconds)
    for number in range(rounds * LOOKS):
        if number and number % rounds == 0:
            still = reruns.undecided_of(still)
        if not still:
            break
        of = f"of {rounds}" if number < rounds else f"of {rounds * LOOKS} at most"
        orders = orders_of(program, still, limit)
        done: dict[int, Run] = {}
        for at in turned(len(orders), number):
            say(f"round {number + 1} {of}: {name_of(at, still)}")
            done[at] = ended = runner(orders[at])
            early = "interrupted" if ended.interrupted else ""
            if not early and orders[at] is orders[0] and (ended.killed or ended.exit_code != 0):
                early = f"run again as it is the program ended with {why(ended)}"
            if early:
                seen = reruns if number >= rounds else None
                return cut_off(findings, seen, early, interrupted=ended.interrupted)
        reruns.add(still, [done[at] for at in range(len(orders))])
        limit = limit_of(max(one.wall_seconds for one in (*reruns.first, *reruns.again)))
    return judged(findings, reruns)


def cut_off(
    findings: Sequence[Finding], reruns: Reruns | None, why: str, *, interrupted: bool
) -> Tried:
    """What whole rounds have decided before the reruns ended early; None where too few were run."""
    if reruns is None:
        return left_untried(findings, why, interrupted=interrupted)
    told = judged(findings, reruns)
    open_still = [one for one in told.unconfirmed if one.trial and undecided(one.trial)]
    return replace(
        told,
        unconfirmed=tuple(one for one in told.unconfirmed if one not in open_still),
        untried=tuple(without_fix(one, f"not told from noise yet: {why}") for one in open_still),
        interrupted=interrupted,
        why_untried=why,
    )


def orders_of(program: Program, still: Sequence[Finding], limit: float) -> list[Order]:
    """One round: as it is, with each fix, and as it is."""
    plain = Order(program, quiet=True, through=True, limit_seconds=limit)
    return [plain, *(fixed(plain, one.fix) for one in still), plain]


def turned(places: int, number: int) -> list[int]:
    """The places in an order that begins one later each round."""
    first = number % places
    return [*range(first, places), *range(first)]


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


def judged(findings: Sequence[Finding], reruns: Reruns) -> Tried:
    """Replace each prediction with what was measured."""
    trials = {id(one): reruns.trial(one) for one in reruns.tried}
    told = [replace(one, trial=trials.get(id(one))) for one in findings]
    kept = [one for one in told if one.trial is None or one.trial.confirmed]
    measured = sorted(
        (one for one in kept if one.trial), key=lambda one: -(one.trial.gain if one.trial else 0)
    )
    rest = [one for one in kept if one.trial is None]
    lost = [one for one in told if one.trial is not None and not one.trial.confirmed]
    plain = median(one.wall_seconds for one in (*reruns.first, *reruns.again))
    return Tried((*measured, *rest), tuple(lost), plain)
