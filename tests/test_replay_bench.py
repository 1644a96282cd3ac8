"""The bench: fair turns, honest ratios, and libraries that are not here."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.errors import Usage
from aitrade_cli.replay.bench import compare as bench_module
from aitrade_cli.replay.bench import frames as bench_frames
from aitrade_cli.replay.bench.compare import bench, peers_named, time_operation
from aitrade_cli.replay.bench.data import (
    ADD_MANY,
    ADD_ONE,
    OPERATIONS,
    PRIORITIZED,
    UNIFORM,
    UPDATE,
    Contender,
    experience,
)
from aitrade_cli.replay.bench.disk import DISK, IN_MEMORY
from aitrade_cli.replay.bench.frames import NoEmulator, check_game, pack_game, synthetic
from aitrade_cli.replay.bench.peers import CONTENDERS, bare_take, ours, version_of
from aitrade_cli.replay.bench.report import AGAIN, OURS, figure_of, summary
from aitrade_cli.replay.bench.rounds import orders_of, ratio_of, spread, time_in_turn
from aitrade_cli.report.blocks import view
from aitrade_cli.report.plot import picture
from tests.shell import aitrade

ROWS, FEW = 2_000, 5


def test_every_way_runs_once_a_round_and_what_prepares_it_is_not_timed() -> None:
    calls: Counter[str] = Counter()

    def way(name: str) -> object:
        def prepare() -> object:
            calls[f"{name} prepared"] += 1
            return lambda: calls.update([name])

        return prepare

    taken = time_in_turn({"a": way("a"), "b": way("b")}, rounds=7, repeat=3)  # type: ignore[dict-item]
    assert {name: len(times) for name, times in taken.items()} == {"a": 7, "b": 7}
    assert calls["a prepared"] == calls["b prepared"] == 12  # five rounds of warming
    assert calls["a"] == calls["b"] == 36
    assert all((times > 0).all() for times in taken.values())


def test_the_control_never_follows_the_store_it_shares() -> None:
    names = ("ours", "again", "one", "other")
    orders = list(islice(orders_of(names, frozenset(("ours", "again")), 0), 200))
    assert all(sorted(order) == sorted(names) for order in orders)
    assert not any({a, b} == {"ours", "again"} for order in orders for a, b in pairwise(order))
    firsts = Counter(order[0] for order in orders)
    assert min(firsts[name] for name in names) > 20


def test_where_only_the_control_is_there_it_runs_all_the_same() -> None:
    names = ("ours", "again")
    assert len(list(islice(orders_of(names, frozenset(names), 0), 5))) == 5


def test_a_ratio_is_taken_round_by_round() -> None:
    ours_us = np.array([1.0, 10.0, 100.0, 2.0, 3.0])  # a machine that slows down for a while
    ratio = ratio_of(3.0 * ours_us, ours_us, 0)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3.0, 3.0, 3.0))
    wide = spread(ours_us, 0)
    assert wide.low <= wide.value == 3.0 <= wide.high


def test_a_slower_store_is_told_as_slower() -> None:
    data = experience(ROWS, 2, 8, 0)
    fast = Contender("fast", {ADD_ONE: lambda: lambda: None})
    lines = list(time_operation(ADD_ONE, [ours(data), fast], FEW, 0))
    told = {line.name: line.ratio for line in lines}
    assert told[OURS] is None
    assert told["fast"] is not None
    assert told["fast"].value < 1.0
    assert told[AGAIN] is not None


def test_our_store_has_every_operation_and_no_peer_is_needed() -> None:
    report = bench((), rows=ROWS, features=4, batch=32, rounds=FEW)
    assert {line.operation for line in report.operations} == set(OPERATIONS)
    assert {line.name for line in report.operations} == {OURS, AGAIN, "np.take"}
    assert "no other library" in summary(report)
    assert report.ratio(UNIFORM, "np.take") is not None
    assert report.ratio(UNIFORM, "cpprb") is None
    assert view(report)
    assert picture(figure_of(report), "svg").startswith(b"<?xml")


def test_a_store_on_disk_is_timed_beside_the_one_in_memory() -> None:
    report = bench((), rows=ROWS, features=4, batch=32, rounds=FEW, disk=True)
    names = {line.name for line in report.operations if line.operation == DISK}
    assert names == {OURS, AGAIN, IN_MEMORY}
    assert "no other library" in summary(report)


def test_a_missing_library_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "version_of", lambda _: None)
    report = bench(("cpprb", "sb3"), rows=ROWS, features=4, batch=32, rounds=FEW)
    notes = {peer.name: peer.note for peer in report.peers if peer.version is None}
    assert set(notes) == {"cpprb", "sb3"}
    assert all("aitrade-cli[bench]" in note for note in notes.values())


def test_the_bare_gather_moves_the_bytes_of_a_batch() -> None:
    data = experience(ROWS, 64, 256, 0)
    call = bare_take(data).ways[UNIFORM]()
    gathered = call()
    assert isinstance(gathered, np.ndarray)
    # obs and next_obs, with the action and what a record has around them
    assert gathered.nbytes == 2 * 256 * 272


def test_priorities_change_with_every_update() -> None:
    data = experience(ROWS, 2, 32, 0)
    assert not np.array_equal(data.priorities(), data.priorities())
    own = ours(data)
    for name in (PRIORITIZED, UPDATE, ADD_MANY):
        own.ways[name]()()


def test_installed_libraries_do_the_same_work() -> None:
    there = [name for name in CONTENDERS if version_of(name)]
    if not there:
        pytest.skip("no library to compare with is installed; the extra `bench` brings them")
    words = ("replay", "bench", "--rows", "2k", "--rounds", "5", "--disk", "--json")
    done = aitrade(*words, "--against", ",".join(CONTENDERS))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()  # whatever a library prints does not get in between
    report = json.loads(line)["data"]
    notes = {peer["name"]: peer["note"] for peer in report["peers"]}
    for name in CONTENDERS:
        taken = {one["operation"] for one in report["operations"] if one["name"] == name}
        assert (taken >= {ADD_ONE, UNIFORM}) == (name in there)
        assert (PRIORITIZED in taken) != bool(notes[name])
        assert (DISK in taken) == (name == "torchrl" and name in there)


def test_libraries_are_named_once_and_unknown_ones_refused() -> None:
    assert peers_named(" cpprb,SB3,cpprb, ") == ("cpprb", "sb3")
    assert peers_named("") == ()
    with pytest.raises(Usage, match="`reverb`"):
        peers_named("cpprb,reverb")


@pytest.mark.parametrize(("rows", "rounds"), [(100, 50), (10_000, 4)])
def test_sizes_that_say_nothing_are_refused(rows: int, rounds: int) -> None:
    with pytest.raises(Usage, match="too little"):
        bench((), rows=rows, rounds=rounds)


def test_synthetic_frames_are_packed_and_come_back() -> None:
    line = pack_game("synthetic", 3_000, with_sb3=False, rounds=FEW, seed=0)
    assert line.smaller > 4
    assert line.saved_share > 0.9
    assert line.unlike == 0
    assert line.sb3_us_p50 is None
    assert np.array_equal(synthetic(600, 1), synthetic(600, 1))
    with pytest.raises(Usage, match="too few"):
        pack_game("synthetic", 100, with_sb3=False, rounds=FEW, seed=0)


def test_a_game_without_an_emulator_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_frames.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NoEmulator, match="ale-py") as told:
        check_game("pong")
    assert "synthetic" in told.value.hint
    with pytest.raises(NoEmulator):
        bench((), rows=ROWS, rounds=FEW, games=("pong",))


def test_the_command_draws_and_refuses(tmp_path: Path) -> None:
    words = ("replay", "bench", "--against", "", "--rows", "2k", "--rounds", "5", "--batch", "64")
    plot = tmp_path / "bench.svg"
    done = aitrade(*words, "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    assert b"draw prioritized" in done.stdout
    assert plot.stat().st_size > 1000
    assert aitrade("replay", "bench", "--against", "reverb").returncode == 2
