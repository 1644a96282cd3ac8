"""A gain lies beyond what the same command gives against itself, or it is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import aitrade_cli.system.tuning.views  # noqa: F401 -- registers how a report is drawn
from aitrade_cli.report.blocks import view
from aitrade_cli.system.tuning import prove as proving
from aitrade_cli.system.tuning import trials
from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.dropins import ENVIRONMENT, entries_in, measured_in, places_for
from aitrade_cli.system.tuning.facts import Facts, read_facts
from aitrade_cli.system.tuning.plan import Plan, make_plan
from aitrade_cli.system.tuning.prove import AGAIN, BASE, GIVEN, KERNEL, candidates_of, prove
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.tree import Tree
from aitrade_cli.system.tuning.trials import (
    Arm,
    CommandFailed,
    Comparison,
    Sample,
    TooFewRounds,
    compare,
    gains_of_identical_pairs,
    race,
    run_command,
)
from tests.tuning_hosts import debian, snapshot

SLEEPERS = (sys.executable, "-c", "pass")


def noise(kind: str, generator: np.random.Generator, rounds: int) -> np.ndarray:
    """Three arms of one command: nothing but luck separates them."""
    if kind == "still":
        return 1.0 + 0.01 * generator.standard_normal((3, rounds))
    if kind == "two modes":  # what glibc's moving threshold gave: 3.29x from nothing
        return np.where(generator.random((3, rounds)) < 0.5, 1.0, 3.3)
    drift = np.linspace(1.0, 2.0, rounds)
    return drift * np.exp(0.3 * generator.standard_t(3, (3, rounds)))


@pytest.mark.parametrize("kind", ["still", "two modes", "heavy tails and drift"])
@pytest.mark.parametrize("rounds", [5, 9])
def test_of_a_hundred_identical_pairs_five_at_the_most_are_gains(kind: str, rounds: int) -> None:
    generator = np.random.default_rng(1)
    arms = (noise(kind, generator, rounds) for _ in range(300))
    gains = sum(compare(*times.tolist(), seed=1).standing == "gain" for times in arms)
    assert gains <= 15


@pytest.mark.parametrize("kind", ["still", "two modes", "heavy tails and drift"])
def test_of_a_hundred_proofs_with_six_arms_alike_five_at_the_most_keep_one(kind: str) -> None:
    generator = np.random.default_rng(4)
    kept = 0
    for _ in range(100):
        times = np.concatenate([noise(kind, generator, 5) for _ in range(3)]).tolist()
        base, again, *others = times[:8]
        found = [compare(base, again, other, seed=1).standing for other in others]
        kept += "gain" in found
    assert kept <= 5


@pytest.mark.parametrize("speed", [1.15, 2.0, 6.0])
def test_a_real_gain_on_a_still_host_is_found(speed: float) -> None:
    generator = np.random.default_rng(2)
    found = []
    for _ in range(100):
        times = noise("still", generator, 5)
        times[2] /= speed
        found.append(compare(*times.tolist(), seed=1))
    assert sum(one.standing == "gain" for one in found) >= 95
    assert np.median([one.ratio for one in found]) == pytest.approx(speed, rel=0.03)


def test_a_loss_is_called_one_and_a_trifle_neither() -> None:
    still = [1.0, 1.001, 0.999, 1.0, 1.0]
    assert compare(still, still, [2 * one for one in still]).standing == "loss"
    assert compare(still, still, [one / 1.02 for one in still]).standing == "no change"
    assert Comparison(2.0, 1.5, 2.5, 1.6).standing == "no change"


def test_a_before_and_after_without_the_control_would_lie() -> None:
    generator = np.random.default_rng(3)
    lies = 0
    for _ in range(200):
        base, _, other = noise("two modes", generator, 5)
        lies += bool(np.median(base) / np.median(other) > 1.1)
    assert lies > 40


def test_each_round_runs_every_arm_once_in_a_new_order() -> None:
    seen: list[str] = []

    def run(arm: Arm) -> Sample:
        seen.append(arm.name)
        return Sample(1.0, 1.0, 0, 0)

    arms = [Arm(name, {}) for name in "abc"]
    found = race(arms, run, rounds=6, seed=1)
    assert {name: len(samples) for name, samples in found.items()} == {"a": 6, "b": 6, "c": 6}
    orders = [tuple(seen[at : at + 3]) for at in range(0, 18, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 1
    with pytest.raises(TooFewRounds):
        race(arms, run, rounds=4)


def test_a_command_is_run_with_the_arms_variables_and_its_cost_is_read() -> None:
    code = "import os; b = bytearray(50_000_000); assert [*map(os.getenv, 'AB')] == ['1', None]"
    arm = Arm("x", {"A": "1", "B": None})
    sample = run_command([sys.executable, "-c", code], arm)
    assert sample.minor_faults > 10_000
    assert sample.cpu_seconds > 0
    assert sample.wall_seconds > 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-program-here"], "cannot start"),
        ([sys.executable, "-c", "import sys; sys.exit('it broke')"], "ended with 1"),
    ],
)
def test_a_command_that_fails_is_told_with_its_last_words(command: list[str], said: str) -> None:
    with pytest.raises(CommandFailed, match=said) as caught:
        run_command(command, Arm("x", {}))
    if "ended" in said:
        assert caught.value.hint == "it broke"


@pytest.mark.parametrize(("other", "gains"), [(1.0, 0), (0.5, 4)])
def test_pairs_that_are_called_a_gain_are_counted(
    monkeypatch: pytest.MonkeyPatch, other: float, gains: int
) -> None:
    def run(_: object, arm: Arm) -> Sample:
        return Sample(other if arm.name == "other" else 1.0, 1.0, 0, 0)

    monkeypatch.setattr(trials, "run_command", run)
    assert gains_of_identical_pairs(4, ["true"]) == gains


def test_variables_of_the_caller_are_an_arm_and_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    tree, facts, plan = on(debian(tmp_path / "host"))

    def seconds(arm: Arm) -> float:
        has = arm.environment.get("OMP_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
        return 1.0 if has == "1" else 2.0

    ran = planted(monkeypatch, seconds)
    proof, _ = prove(plan, facts, places_for(tree), SLEEPERS)
    assert proof.taken_out == ("OMP_NUM_THREADS=1",)
    assert GIVEN in ran
    (given,) = [one for one in proof.trials if one.name == GIVEN]
    assert given.speed is not None
    assert (given.speed.ratio, given.kept) == (2.0, False)
    said = "\n".join(str(block) for block in view(proof))
    assert "runs without your shell's OMP_NUM_THREADS=1" in said


Speeds = Callable[[Arm], float]


def planted(monkeypatch: pytest.MonkeyPatch, seconds: Speeds) -> list[str]:
    """The command takes what ``seconds`` says for its arm."""
    ran: list[str] = []

    def run(_: object, arm: Arm, **__: object) -> Sample:
        ran.append(arm.name)
        return Sample(seconds(arm), seconds(arm), 100, 10)

    monkeypatch.setattr(proving, "run_command", run)
    return ran


def on(root: Path, threads: int | None = 8) -> tuple[Tree, Facts, Plan]:
    tree = Tree(root)
    facts = replace(read_facts(tree), threads=threads)
    return tree, facts, make_plan(facts)


def test_only_what_gains_is_kept_and_the_rest_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, facts, plan = on(debian(tmp_path / "host"))
    before = snapshot(tree.root)
    planted(monkeypatch, lambda arm: 1.0 if arm.environment.get("OMP_NUM_THREADS") == "1" else 2.0)
    proof, kept = prove(plan, facts, places_for(tree), SLEEPERS)
    assert snapshot(tree.root) == before  # kernel values were put back after each run
    assert proof.kept == ("one thread",)
    assert {line.key for line in kept.of("change")} == {"env.OMP_NUM_THREADS"}
    done = apply_plan(kept, tree, places_for(tree), now=datetime.now(UTC))
    assert done.exit_code == 0
    assert entries_in(tree, places_for(tree), ENVIRONMENT) == {"OMP_NUM_THREADS": "1"}
    # Another plan keeps what was measured, though its rule would say four.
    assert measured_in(tree, places_for(tree)) == ("OMP_NUM_THREADS",)
    again = make_plan(read_facts(tree))
    (line,) = [one for one in again.lines if one.key == "env.OMP_NUM_THREADS"]
    assert (line.decision, line.wanted) == ("already", "1")


def test_what_an_earlier_run_applied_and_gains_nothing_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, facts, plan = on(debian(tmp_path / "host"))
    places = places_for(tree)
    apply_plan(plan, tree, places, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert "MALLOC_TRIM_THRESHOLD_" in entries_in(tree, places, ENVIRONMENT)
    ran = planted(monkeypatch, lambda _: 1.0)
    proof, kept = prove(make_plan(facts), facts, places, SLEEPERS)
    assert proof.kept == ()
    assert {BASE, AGAIN, "large tensors", "thread budget"} <= set(ran)
    apply_plan(kept, tree, places, now=datetime.now(UTC))
    assert not tree.exists("/etc/aitrade/tune.env")
    assert revert(tree, places, "all").passed


def test_winners_are_tried_together_and_the_best_stays_where_they_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, facts, plan = on(debian(tmp_path / "host"))

    def seconds(arm: Arm) -> float:
        threads, trim = (
            arm.environment.get(name) for name in ("OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
        )
        return {(False, False): 4.0, (True, False): 2.0, (False, True): 1.0, (True, True): 3.0}[
            threads is not None, trim is not None
        ]

    planted(monkeypatch, seconds)
    proof, _ = prove(plan, facts, places_for(tree), SLEEPERS)
    assert proof.kept == ("large tensors",)
    assert proof.trials[-1].name == "together"


def test_kernel_values_are_held_for_their_own_runs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, facts, plan = on(debian(tmp_path / "host"))
    seen: dict[str, set[str | None]] = {}

    def seconds(arm: Arm) -> float:
        governor = tree.value("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
        seen.setdefault(arm.name, set()).add(governor)
        return 1.0 if governor == "performance" else 2.0

    planted(monkeypatch, seconds)
    proof, kept = prove(plan, facts, places_for(tree), SLEEPERS)
    assert seen[KERNEL] == {"performance"}
    assert seen[BASE] == {"powersave"}
    assert KERNEL in proof.kept
    assert "cpu.governor:policy0" in {line.key for line in kept.of("change")}
    assert tree.value("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor") == "powersave"


def test_what_the_command_does_anyway_and_what_is_no_matter_of_speed_is_not_run(
    tmp_path: Path,
) -> None:
    _, facts, plan = on(debian(tmp_path / "host"), threads=4)
    candidates = {one.name: one for one in candidates_of(plan, facts)}
    assert "thread budget" not in candidates
    assert "one thread" in candidates
    # Installed there, and only a measurement may ask for it; alone it keeps no memory.
    assert set(candidates["jemalloc"].variables) == {"LD_PRELOAD", "MALLOC_CONF"}
    keys = {key for one in candidates_of(plan, facts) for key in one.values}
    assert not {"limit.nofile", "vm.swappiness"} & keys
