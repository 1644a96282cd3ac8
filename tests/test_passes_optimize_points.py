"""Which points nothing beats, and which of them ships."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.passes.optimize.points import (
    SAFETY,
    SAFETY_TAUGHT,
    Point,
    allowed,
    beats,
    best_of,
    front_of,
)
from aitrade_cli.passes.optimize.settings import Minimize, Settings


def point(
    speedup: float,
    size: int = 100,
    flips: float | None = 0.0,
    threads: int = 1,
    form: str = "f",
) -> Point:
    return Point(
        "as it is",
        form,
        "",
        "onnxruntime",
        "float32",
        threads,
        speedup,
        1000.0 / speedup,
        size,
        flips,
        f"{form}.bin",
    )


def settings(flips: float = 0.01, minimize: Minimize = "latency") -> Settings:
    return Settings(budget=Budget(max_flips=flips), minimize=minimize)


points = st.lists(
    st.builds(
        point,
        speedup=st.sampled_from([0.5, 1.0, 2.0, 3.0, 8.0]),
        size=st.sampled_from([10, 20, 30]),
        flips=st.sampled_from([None, 0.0, 0.005, 0.02, 0.5]),
        threads=st.sampled_from([1, 2]),
        form=st.sampled_from("abcdef"),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one.form,
)


@given(points)
def test_everything_left_out_is_beaten_and_nothing_kept_is(found: list[Point]) -> None:
    front = front_of(found)
    assert front
    for one in found:
        beaten = any(beats(other, one) for other in found)
        assert (one in front) != beaten


@given(points)
def test_the_front_is_its_own_front(found: list[Point]) -> None:
    assert front_of(front_of(found)) == front_of(found)


@given(points, st.randoms())
def test_the_order_of_the_points_decides_nothing(found: list[Point], random: object) -> None:
    mixed = list(found)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert best_of(mixed, settings()) == best_of(found, settings())


@given(points)
def test_what_ships_is_within_the_budget_where_anything_is(found: list[Point]) -> None:
    good = [one for one in found if allowed(one, settings())]
    chosen = best_of(found, settings())
    assert not good or chosen in good


def test_the_fastest_ships() -> None:
    assert best_of([point(2.0), point(3.0, form="g")], settings()).speedup == 3.0


def test_a_tie_goes_to_fewer_threads_then_to_fewer_flips() -> None:
    found = [
        point(3.1, threads=2, form="two threads"),
        point(3.05, flips=0.005, form="flips"),
        point(3.0, flips=0.001, form="fewer"),
    ]
    assert best_of(found, settings()).form == "fewer"


def test_flips_that_cannot_be_told_apart_leave_it_to_the_size() -> None:
    found = [
        point(3.0, size=400, flips=0.0031, form="large"),
        point(2.9, size=100, flips=0.0033, form="small"),
    ]
    assert best_of(found, settings()).form == "small"


def test_the_smallest_ships_where_size_was_asked_for() -> None:
    found = [point(9.0, size=100), point(1.0, size=50, form="small")]
    assert best_of(found, settings(minimize="size")).form == "small"


def test_the_one_that_flips_least_ships_where_none_is_within_the_budget() -> None:
    found = [point(9.0, flips=0.3), point(2.0, flips=0.1, form="closest")]
    assert best_of(found, settings()).form == "closest"


def test_part_of_the_budget_is_left_for_bars_not_seen_yet() -> None:
    assert allowed(point(1.0, flips=0.01 * SAFETY), settings(0.01))
    assert not allowed(point(1.0, flips=0.0099), settings(0.01))


def test_what_was_taught_keeps_more_of_the_budget_back() -> None:
    taught = replace(point(1.0, flips=0.01 * SAFETY_TAUGHT), shape="pruned 50 %")
    assert allowed(taught, settings(0.01))
    assert not allowed(replace(taught, flips=0.01 * SAFETY), settings(0.01))


def test_without_a_rule_nothing_can_flip() -> None:
    assert allowed(point(1.0, flips=None), settings(0.0))


def test_a_point_survives_json() -> None:
    one = point(2.5, flips=None)
    assert Point.from_data(one.as_data()) == one
