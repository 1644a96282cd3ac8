"""A fix is reported only where the reruns confirm it, and what was measured replaces the guess."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, product, repeat
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.system.profiling import trials
from aitrade_cli.system.profiling.gains import DRAWS, chance_of
from aitrade_cli.system.profiling.launch import Order, Run
from aitrade_cli.system.profiling.report import Finding, Fix
from aitrade_cli.system.profiling.target import Program
from aitrade_cli.system.profiling.trials import TooFewReruns, Tried, try_fixes
from tests.profiling_cases import ended

PROGRAM = Program(("python", "job.py"), "python", ("job.py",))
QUICKER = Finding(
    "slow_loader", "job.py:1", 0.5, "it waits", "time", 1.3, 2.5, "high",
    Fix("environment", "export A=1", environment={"A": "1"}),
)  # fmt: skip
OTHER = replace(QUICKER, kind="other", fix=Fix("environment", "x", environment={"B": "1"}))
ADVICE = replace(QUICKER, kind="advice", fix=Fix("advice", "think"))


def tried(answer: Callable[[Order], Run], *findings: Finding, rounds: int = 3) -> Tried:
    return try_fixes(
        PROGRAM, findings, rounds=rounds, wall_seconds=2.0, say=lambda _: None, runner=answer
    )


def test_a_fix_that_helps_in_every_round_is_reported_as_measured() -> None:
    done = tried(lambda order: ended(1.0 if order.environment else 2.0), QUICKER)
    trial = done.findings[0].trial
    assert trial is not None
    assert (trial.gain, trial.confirmed, trial.inside) == (2.0, True, True)
    assert done.plain_seconds == 2.0


def test_a_fix_that_does_nothing_is_not_reported() -> None:
    done = tried(lambda _: ended(2.0), QUICKER)
    assert done.findings == ()
    assert [one.kind for one in done.unconfirmed] == ["slow_loader"]


def test_a_gain_within_the_noise_is_looked_at_again_and_not_reported() -> None:
    first = [2.0, 1.7, 1.8, 1.7, 1.8, 2.3, 1.8, 2.2, 1.7]
    walls = chain(first, repeat(2.0))
    done = tried(lambda _: ended(next(walls)), QUICKER)
    assert done.findings == ()
    trial = done.unconfirmed[0].trial
    assert trial is not None
    assert trial.rounds == 12


def test_a_gain_smaller_than_the_noise_is_found_with_more_rounds() -> None:
    draw, rounds, found = random.Random(7), [], 0
    for _ in range(40):
        done = tried(
            lambda order: ended(draw.lognormvariate(-0.2 if order.environment else 0.0, 0.1)),
            QUICKER,
        )
        found += len(done.findings)
        rounds += [one.trial.rounds for one in done.findings if one.trial]
    assert found >= 36
    assert {3, 6} <= set(rounds)


def test_a_fix_without_hope_and_one_that_is_proven_have_no_more_rounds() -> None:
    ran: list[str] = []

    def answer(order: Order) -> Run:
        ran.append("B" if "B" in order.environment else "A" if order.environment else "plain")
        return ended(1.0 if "B" in order.environment else 2.0)

    tried(answer, QUICKER, OTHER)
    assert [ran.count(name) for name in ("plain", "A", "B")] == [6, 3, 3]


def test_an_interrupt_of_the_rounds_that_were_added_keeps_what_the_first_ones_said() -> None:
    walls = chain([2.0, 1.7, 1.8, 1.7, 1.8, 2.3, 1.8, 2.2, 1.7], repeat(2.0))
    count = iter(range(99))

    def answer(order: Order) -> Run:
        late = next(count) >= 13  # the second run of the fourth round
        quick = "B" in order.environment
        return replace(ended(0.5 if quick else next(walls)), interrupted=late)

    done = tried(answer, OTHER, QUICKER)
    assert done.interrupted
    assert [one.kind for one in done.findings] == ["other"]
    assert [(one.kind, one.fix.kind) for one in done.untried] == [("slow_loader", "advice")]
    assert done.untried[0].fix.text == "not told from noise yet: interrupted"
    assert done.unconfirmed == ()


def test_a_program_that_fails_in_a_round_that_was_added_loses_nothing_that_was_decided() -> None:
    walls = chain([2.0, 1.7, 1.8, 1.7, 1.8, 2.3, 1.8, 2.2, 1.7], repeat(2.0))
    count = iter(range(99))

    def answer(order: Order) -> Run:
        failed = next(count) >= 12 and not order.environment
        quick = "B" in order.environment
        return ended(0.5 if quick else next(walls), code=int(failed))

    done = tried(answer, OTHER, QUICKER)
    assert not done.interrupted
    assert [one.kind for one in done.findings] == ["other"]
    assert [one.kind for one in done.untried] == ["slow_loader"]
    assert "exit code 1" in done.why_untried
    assert done.plain_seconds is not None


@pytest.mark.parametrize("rounds", [3, 4, 7])
def test_chance_is_the_share_of_all_ways_to_name_the_fixed_run(rounds: int) -> None:
    draw = random.Random(rounds)
    used = [[draw.uniform(1.1, 2.0), draw.uniform(1.1, 2.0), 1.0] for _ in range(rounds)]
    used[0][-1] = 2.1
    seen = math.prod(row[-1] for row in used)
    ways = [math.prod(way) for way in product(*used)]
    exact = sum(one <= seen * (1 + 1e-12) for one in ways) / len(ways)
    assert chance_of(used) == pytest.approx(exact)


@pytest.mark.parametrize("rounds", [3, 6, 12])
def test_the_best_of_each_round_is_luck_once_in_all_ways(rounds: int) -> None:
    least = 3.0**-rounds if rounds < 10 else 1 / DRAWS  # one of those that were drawn
    assert chance_of([[2.0, 2.1, 1.0]] * rounds) == pytest.approx(least, rel=0.5)
    assert chance_of([[2.0, 2.0, 2.0]] * rounds) == 1.0


def test_a_fixed_program_that_breaks_is_not_reported() -> None:
    done = tried(lambda order: ended(1.0, code=1) if order.environment else ended(2.0), QUICKER)
    trial = done.unconfirmed[0].trial
    assert trial is not None
    assert trial.failed == "exit code 1: it broke"


def test_a_gain_outside_the_prediction_says_so() -> None:
    done = tried(lambda order: ended(0.5 if order.environment else 2.0), QUICKER)
    trial = done.findings[0].trial
    assert trial is not None
    assert (trial.gain, trial.confirmed, trial.inside) == (4.0, True, False)


def test_memory_is_judged_by_the_peak() -> None:
    leak = replace(QUICKER, resource="memory")
    done = tried(lambda order: ended(2.0, peak=500 if order.environment else 1000), leak)
    trial = done.findings[0].trial
    assert trial is not None
    assert trial.gain == 2.0


def test_what_gained_most_comes_first_and_advice_comes_last() -> None:
    def answer(order: Order) -> Run:
        return ended(1.0 if "B" in order.environment else 1.5 if order.environment else 2.0)

    done = tried(answer, ADVICE, QUICKER, OTHER)
    assert [one.kind for one in done.findings] == ["other", "slow_loader", "advice"]


def test_a_program_that_prints_something_else_is_noticed() -> None:
    done = tried(lambda order: ended(1.0, output="b") if order.environment else ended(2.0), QUICKER)
    trial = done.findings[0].trial
    assert trial is not None
    assert trial.output == "differs"


def test_the_order_turns_so_that_no_arm_is_always_first() -> None:
    seen: list[str] = []

    def answer(order: Order) -> Run:
        seen.append("fixed" if order.environment else "plain")
        return ended(1.0)

    tried(answer, QUICKER)
    assert [seen[at : at + 3].index("fixed") for at in (0, 3, 6)] == [1, 0, 2]


def test_a_source_fix_hands_over_the_text_and_touches_no_file(tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text("a = 1\n")
    fix = Fix("source", "", file=str(path), patched="a = 2\n")
    texts: list[object] = []

    def answer(order: Order) -> Run:
        texts.append(dict(order.texts))
        return ended(1.0)

    tried(answer, replace(QUICKER, fix=fix))
    assert {str(path): "a = 2\n"} in texts
    assert path.read_text() == "a = 1\n"


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_identical_arms_are_seldom_told_apart(spread: float) -> None:
    draw = random.Random(7)
    found = sum(
        len(tried(lambda _: ended(draw.lognormvariate(0.0, spread)), QUICKER).findings)
        for _ in range(200)
    )
    assert found <= 10  # five in a hundred


def test_two_rounds_would_call_too_many_identical_programs_better() -> None:
    draw = random.Random(7)

    def answer(_: Order) -> Run:
        return ended(draw.lognormvariate(0.0, 0.1))

    with pytest.raises(TooFewReruns):
        tried(answer, QUICKER, rounds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "LEAST_ROUNDS", 2)
        lies = sum(len(tried(answer, QUICKER, rounds=2).findings) for _ in range(1000))
    assert lies > 50  # more than five in a hundred


def test_every_fix_is_tried_and_none_is_reported_that_no_rerun_confirmed() -> None:
    many = [replace(OTHER, kind=name, place=name) for name in ("one", "two", "three", "four")]
    done = tried(lambda _: ended(2.0), *many, ADVICE)
    assert done.findings == (ADVICE,)
    assert {one.kind for one in done.unconfirmed} == {"one", "two", "three", "four"}


def test_what_an_interrupt_left_untried_stands_apart_without_its_fix() -> None:
    runs = iter([ended(2.0), replace(ended(1.0), interrupted=True)])
    done = tried(lambda _: next(runs), QUICKER, OTHER, ADVICE)
    assert (done.findings, done.interrupted) == ((ADVICE,), True)
    assert [(one.kind, one.fix.kind) for one in done.untried] == [
        ("slow_loader", "advice"),
        ("other", "advice"),
    ]
    assert done.untried[0].fix.text == "its fix was not tried: interrupted"


@pytest.mark.parametrize(
    ("again", "said"), [({"code": 1}, "exit code 1: it broke"), ({"killed": True}, "given up")]
)
def test_a_program_that_cannot_run_twice_is_not_blamed_on_a_fix(
    again: dict[str, Any], said: str
) -> None:
    seen: list[Order] = []

    def answer(order: Order) -> Run:
        seen.append(order)
        return ended(0.1, **again)

    done = tried(answer, QUICKER)
    assert len(seen) == 1
    assert (done.findings, done.unconfirmed, done.plain_seconds) == ((), (), None)
    assert said in done.why_untried
    assert not done.interrupted


def test_a_fix_that_hangs_is_given_up_in_the_first_round_too() -> None:
    limits: list[float | None] = []

    def answer(order: Order) -> Run:
        limits.append(order.limit_seconds)
        return ended(5.0)

    tried(answer, QUICKER)
    assert limits[:3] == [12.0] * 3  # ten more than the two seconds that it was watched for
    assert limits[3:] == [15.0] * 6


def test_nothing_to_try_runs_nothing() -> None:
    def answer(_: Order) -> Run:
        raise AssertionError

    assert tried(answer, ADVICE).findings == (ADVICE,)
