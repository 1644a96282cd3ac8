"""Measuring with simulated workers: the truth is planted, no stopwatch is involved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.inference.latency import Effort, LatencyReport, Variant, VariantFailed, measure
from aitrade_cli.inference.latency_report import NOISE_FLOOR
from aitrade_cli.inference.rounds import ROUNDS_MIN, Launch, Station, calls_of, plan_of
from aitrade_cli.report.ndjson import to_data
from tests.inference_simulation import simulate

EFFORT = Effort(rounds=20, seconds=0.02)


def variants(*names: str) -> list[Variant]:
    return [Variant(name, b"bytes of " + name.encode()) for name in names]


def run(launch: Launch, *names: str, **more: Any) -> LatencyReport:
    return measure(variants(*names), launch=launch, effort=EFFORT, **more)


def test_a_planted_factor_of_two_is_seen() -> None:
    launch, _ = simulate({"eager": 100.0, "small": 50.0})
    report = run(launch, "eager", "small")
    assert report.speed("small").value == pytest.approx(2.0, rel=0.05)
    assert report.judge("small") == "faster"
    assert report.faster_beyond_noise("small")
    assert report.faster_beyond_noise("small", over="eager")
    assert not report.faster_beyond_noise("eager", over="small")
    assert report.judge("eager", over="small") == "slower"


def test_two_of_a_kind_are_a_tie() -> None:
    launch, _ = simulate({"eager": 100.0, "same": 100.0})
    report = run(launch, "eager", "same")
    assert report.judge("same") == "tie"
    assert not report.faster_beyond_noise("same")
    assert not report.faster_beyond_noise("eager", over="same")


def test_a_noisy_control_makes_a_small_gain_a_tie() -> None:
    calm, _ = simulate({"eager": 100.0, "small": 92.0}, noise=0.01)
    assert run(calm, "eager", "small").judge("small") == "faster"
    launch, started = simulate({"eager": 100.0, "small": 92.0}, noise=0.01)

    def unlucky(variant: Variant) -> Station:
        station = launch(variant)
        if variant.name.endswith(" (again)"):
            started[-1].call_us = 115.0  # the same program, 15 % apart: that is the noise here
        return station

    report = run(unlucky, "eager", "small")
    assert report.band() == pytest.approx(1.15, rel=0.02)
    assert report.judge("small") == "tie"


def test_the_band_is_never_narrower_than_the_floor() -> None:
    launch, _ = simulate({"eager": 100.0, "near": 98.5}, noise=1e-6)
    report = run(launch, "eager", "near")
    assert report.band() == NOISE_FLOOR
    assert report.judge("near") == "tie"


def test_without_a_control_the_floor_is_the_band() -> None:
    launch, started = simulate({"eager": 100.0})
    report = run(launch, "eager", control=False)
    assert len(started) == 1
    assert report.noise[0].control is None
    assert report.band() == NOISE_FLOOR


def test_every_round_gives_every_variant_one_turn_and_orders_differ() -> None:
    order: list[str] = []
    launch, _ = simulate({"a": 10.0, "b": 20.0, "c": 30.0})

    class Watched:
        def __init__(self, inner: Station, name: str) -> None:
            self.inner, self.name, self.cpu_seconds = inner, name, 0.0

        def send(self, request: Mapping[str, Any]) -> None:
            self.inner.send(request)

        def receive(self, *, seconds: float) -> dict[str, Any]:
            return self.inner.receive(seconds=seconds)

        def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
            if request["do"] == "run":
                order.append(self.name)
            return self.inner.ask(request, seconds=seconds)

        def close(self, *, gently: bool = True) -> None:
            self.inner.close(gently=gently)

    run(lambda variant: Watched(launch(variant), variant.name), "a", "b", "c")
    rounds = [tuple(order[at : at + 4]) for at in range(0, len(order), 4)]
    assert len(rounds) == EFFORT.rounds
    assert all(set(turn) == {"a", "b", "c", "a (again)"} for turn in rounds)
    assert len(set(rounds)) > 5


def test_percentiles_without_enough_calls_say_how_many_were_had() -> None:
    launch, _ = simulate({"slow": 1_000.0})
    few = run(launch, "slow").latency("slow")
    assert few.runs == 20
    assert few.latency_us_p99 is None
    assert few.percentile_reason == "p99 needs 1,000 runs, p99.9 needs 10,000 runs; 20 were made"
    launch, _ = simulate({"quick": 1.0})
    many = run(launch, "quick").latency("quick")
    assert many.runs == 20_000
    assert many.latency_us_p99 is not None
    assert many.latency_us_p999 is not None
    assert many.percentile_reason is None


def test_batches_are_measured_apart_and_throughput_counts_windows() -> None:
    launch, _ = simulate({"eager": 10.0}, noise=1e-9)
    report = run(launch, "eager", batches=(8, 1, 8))
    assert [one.batch for one in report.latencies] == [1, 8]
    assert report.latency("eager", 8).latency_us_p50 == pytest.approx(80.0, rel=0.01)
    assert report.latency("eager", 8).throughput_per_second == pytest.approx(1e5, rel=0.01)


def test_a_variant_that_does_not_open_is_listed_and_the_rest_is_measured() -> None:
    launch, _ = simulate({"eager": 100.0, "openvino": 10.0}, fails={"openvino": "open"})
    report = run(launch, "eager", "openvino")
    assert [(lost.variant, lost.reason) for lost in report.not_run] == [("openvino", "it broke")]
    assert [one.variant for one in report.latencies] == ["eager"]


def test_the_next_variant_counts_as_one_where_the_first_does_not_open() -> None:
    launch, started = simulate(
        {"gone": 1.0, "eager": 100.0}, fails={"gone": "open", "gone (again)": "open"}
    )
    report = run(launch, "gone", "eager")
    assert report.baseline() == "eager"
    assert report.noise[0].control is not None
    assert started[-1].name == "eager (again)"


def test_a_variant_that_dies_in_a_round_keeps_its_earlier_batches_out_of_harm() -> None:
    launch, _ = simulate({"eager": 100.0, "frail": 50.0}, fails={"frail": "run"})
    report = run(launch, "eager", "frail")
    assert [(lost.variant, lost.reason) for lost in report.not_run] == [
        ("frail", "at batch 1: it broke")
    ]


def test_a_first_variant_that_dies_leaves_its_place_to_the_next() -> None:
    launch, started = simulate({"eager": 100.0, "other": 50.0}, fails={"eager": "run"})
    report = run(launch, "eager", "other")
    assert report.baseline() == "other"
    assert [lost.variant for lost in report.not_run] == ["eager"]
    assert report.noise[0].control is None  # the control repeats the one that died
    assert all(worker.closed for worker in started)


def test_what_was_measured_before_a_death_is_kept() -> None:
    launch, started = simulate({"eager": 100.0, "other": 50.0})

    def frail(variant: Variant) -> Station:
        station = launch(variant)
        if variant.name == "eager":
            answer = started[-1].answer

            def until_batch_8(request: Mapping[str, Any]) -> dict[str, Any]:
                if request.get("batch") == 8:
                    raise VariantFailed("eager", "out of memory")
                return answer(request)

            started[-1].answer = until_batch_8  # type: ignore[method-assign]
        return station

    report = run(frail, "eager", "other", batches=(1, 8))
    assert report.faster_beyond_noise("other", batch=1)
    assert (report.baseline(1), report.baseline(8)) == ("eager", "other")
    assert report.not_run[0].reason == "at batch 8: out of memory"


def test_an_only_variant_that_dies_is_an_error_that_names_it() -> None:
    launch, started = simulate({"eager": 100.0}, fails={"eager": "run"})
    with pytest.raises(VariantFailed, match="`eager`: at batch 1: it broke"):
        run(launch, "eager", control=False)
    assert all(worker.closed for worker in started)


def test_a_dead_control_leaves_the_floor() -> None:
    launch, _ = simulate({"eager": 100.0}, fails={"eager (again)": "run"})
    report = run(launch, "eager")
    assert report.not_run == ()
    assert report.band() == NOISE_FLOOR


def test_an_interrupt_ends_every_worker_and_leaves_no_files() -> None:
    folders: list[Path] = []
    launch, started = simulate({"eager": 100.0, "other": 50.0})

    def stop(_: str) -> None:
        if any("open" in dict(worker.log) for worker in started):
            raise KeyboardInterrupt

    def watch(variant: Variant) -> Station:
        station = launch(variant)
        send: Callable[[Mapping[str, Any]], None] = station.send

        def seen(request: Mapping[str, Any]) -> None:
            folders.append(Path(request["path"]).parent)
            send(request)

        started[-1].send = seen  # type: ignore[method-assign]
        return station

    with pytest.raises(KeyboardInterrupt):
        run(watch, "eager", "other", say=stop)
    assert started
    assert all(worker.closed for worker in started)
    assert folders
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("names", "batches", "message"),
    [
        ((), (1,), "nothing to measure"),
        (("a", "a"), (1,), "two variants are called `a`"),
        (("a",), (0,), "not `0`"),
        (("a",), (), "at least one window"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    names: tuple[str, ...], batches: tuple[int, ...], message: str
) -> None:
    launch, started = simulate({"a": 1.0})
    with pytest.raises(BadInput, match=message):
        run(launch, *names, batches=batches)
    assert not started


def test_a_figure_that_was_not_measured_is_named() -> None:
    launch, _ = simulate({"a": 1.0})
    with pytest.raises(BadInput, match="`b` was not measured at batch 4"):
        run(launch, "a").latency("b", 4)


def test_the_report_has_a_json_form() -> None:
    launch, _ = simulate({"eager": 100.0, "small": 50.0})
    data = to_data(run(launch, "eager", "small"))
    assert data["comparisons"][0]["judgement"] == "faster"
    assert data["latencies"][0]["latency_us_p50"] > 0
    assert isinstance(data["load"]["loaded"], bool)


def test_a_plan_gives_every_arm_the_same_rounds_and_about_the_same_time() -> None:
    effort = Effort(rounds=30, seconds=1.5)
    plan = plan_of({"slow": 0.010, "fast": 0.0001}, effort)
    assert plan.rounds == 30
    assert plan.turns["slow"]["calls"] == 5
    assert plan.turns["fast"]["calls"] == 500


def test_a_call_longer_than_its_share_cuts_the_rounds_but_not_below_six() -> None:
    effort = Effort(rounds=30, seconds=1.5)
    assert plan_of({"slow": 0.1, "fast": 0.0001}, effort).rounds == 15
    crawling = plan_of({"slow": 10.0, "fast": 0.0001}, effort)
    assert crawling.rounds == ROUNDS_MIN
    assert crawling.turns["slow"] == {"warm": 0, "calls": 1}
    assert plan_of({"slow": 10.0}, Effort(rounds=3, seconds=1.0)).rounds == 3


def test_a_turn_holds_at_least_one_call() -> None:
    assert calls_of(5.0, Effort(seconds=0.01), rounds=6) == 1


def test_runs_asked_for_by_number_are_made_whatever_they_take() -> None:
    plan = plan_of({"slow": 10.0, "fast": 1e-6}, Effort(rounds=30, seconds=0.1, runs=1_000))
    assert plan.rounds == 30
    assert {turn["calls"] for turn in plan.turns.values()} == {34}
    assert plan_of({"any": 1.0}, Effort(runs=4)).rounds == 4
