"""The rows R2 to R6 hold, and notice what they are there to notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aitrade_cli.checks import replay_sampling as checks
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.replay.bench.frames_report import FramesLine
from aitrade_cli.replay.bench.report import BenchReport
from aitrade_cli.replay.bench.rounds import Spread
from aitrade_cli.replay.learning.batch_trial import BatchRun, BatchTrial


def broken(result: CheckResult) -> set[str]:
    return {bound.name for bound in result.bounds if not bound.passed}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stopwatch, no library that may be missing."""
    whole = checks.bench

    def small(peers: list[str], **_: Any) -> BenchReport:
        return whole(peers, rows=2_000, features=4, batch=32, rounds=5)

    monkeypatch.setattr(checks, "bench", small)
    monkeypatch.setattr(checks, "version_of", lambda _: None)


@pytest.mark.parametrize(
    "check",
    [
        checks.draws_follow_the_priorities,
        checks.lag_is_weighed_and_corrected,
        checks.batches_follow_the_noise,
        checks.steps_are_remembered,
    ],
)
def test_a_row_holds(check: Callable[[bool], CheckResult]) -> None:
    result = check(True)
    assert broken(result) == set()
    assert result.conditions


def line(smaller: float, ratio: float | None, unlike: int) -> FramesLine:
    one = Spread(1.0, 1.0, 1.0)
    speed = None if ratio is None else Spread(ratio, ratio, ratio)
    return FramesLine("pong", 1000, 7056, int(7_056_000 / smaller), unlike, one, one, speed, speed)


@pytest.mark.parametrize(
    ("smaller", "ratio", "unlike", "names"),
    [
        (30.0, 2.0, 0, set()),
        (19.0, 2.0, 0, {"pong smaller"}),
        (30.0, 0.9, 0, {"pong against sb3"}),
        (30.0, None, 1, {"pong unlike raw"}),
        (30.0, None, 0, set()),
    ],
)
def test_frames_too_large_too_slow_or_wrong_are_noticed(
    smaller: float,
    ratio: float | None,
    unlike: int,
    names: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "pack_game", lambda *_, **__: line(smaller, ratio, unlike))
    result = checks.frames_are_packed(True)
    assert broken(result) == names
    assert result.measured.speedup == ratio
    assert ("not installed" in result.conditions) == (ratio is None)


def test_a_draw_that_ignores_the_priorities_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flat(checks.Proportional):
        def update(self, indices: Any, priorities: np.ndarray) -> None:
            super().update(indices, np.ones_like(priorities))

    monkeypatch.setattr(checks, "Proportional", Flat)
    assert broken(checks.draws_follow_the_priorities(True)) == {
        "chi-square of a million draws",
        "largest error of a probability",
    }


def test_a_wrong_trace_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = checks.v_trace

    def wrong(*args: Any, **kwargs: Any) -> Any:
        made = right(*args, **kwargs)
        return replace(made, values=made.values + 1e-6)

    monkeypatch.setattr(checks, "v_trace", wrong)
    assert broken(checks.lag_is_weighed_and_corrected(True)) == {"V-trace against its definition"}


def test_a_batch_that_gains_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = (BatchRun("64", 100, 10), BatchRun("variable", 150, 5))
    monkeypatch.setattr(checks, "planted_trial", lambda **_: BatchTrial(0.02, 0.5, 5, runs))
    assert "rows of the best fixed batch" in broken(checks.batches_follow_the_noise(True))


def test_a_cache_that_mixes_up_outcomes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # every key the same, and nothing is ever checked
    monkeypatch.setattr("aitrade_cli.replay.learning.state_cache.key_of", lambda *_: b"one")
    monkeypatch.setattr("aitrade_cli.replay.learning.state_cache.alike", lambda *_: True)
    assert "outcomes as without the cache" in broken(checks.steps_are_remembered(True))


def test_a_cache_that_does_not_find_chance_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aitrade_cli.replay.learning.state_cache.alike", lambda *_: True)
    assert broken(checks.steps_are_remembered(True)) == {"chance is found out"}
