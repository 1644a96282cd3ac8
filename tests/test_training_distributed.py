"""Two processes on this host: the same end as one, and no hang when one of them dies."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
import torch
import torch.distributed as dist

from aitrade_cli.errors import BadInput, Missing, Usage
from aitrade_cli.training.distributed.group import Seat, device_for, joined, seat_from_torchrun
from aitrade_cli.training.distributed.launch import Ending, WorkerFailed, WorkerKilled, spread, told
from aitrade_cli.training.distributed.placements import DataParallel
from aitrade_cli.training.distributed.trial import CPU, End, apart, end_of, ends
from aitrade_cli.training.distributed.worker import portable
from aitrade_cli.training.recipe import Recipe

ALONE: Final = Seat(0, 1, 0)
# 90 rows: the last window has 6 of 21 rows; no window has an even number but that one.
RECIPE: Final = Recipe(epochs=2, batch=21, seed=1)
RAGGED: Final = replace(RECIPE, batch=13, accumulate=3)  # parts of 3, 2, 2 and 2, 2, 2 rows
LONELY: Final = replace(RECIPE, batch=89)  # the last window has one row for two processes
THIN: Final = replace(RECIPE, epochs=5)  # 25 steps, of which the first ten are sent whole
EXACT: Final = 1e-12
SPREAD_WAYS: Final = ("ddp", "zero", "shard", "shard+offload")


def every_way(seat: Seat, say: Callable[[str], None]) -> dict[str, Any]:
    """All that needs a group, in one start of it."""
    say(f"{seat.world} processes")
    found: dict[str, Any] = ends(seat, say, (*SPREAD_WAYS, "fp16"), RECIPE)
    for way in ("ddp", "shard"):
        found[f"{way} ragged"] = end_of(way, seat, RAGGED)
        found[f"{way} lonely"] = end_of(way, seat, LONELY)
    # A run that began in one process goes on in two, sharded or not.
    halfway = end_of("alone", ALONE, RECIPE).halfway
    for way in SPREAD_WAYS:
        found[f"{way} resumed"] = end_of(way, seat, RECIPE, halfway)
    found["powersgd"] = end_of("powersgd", seat, THIN, width=40)
    placement = DataParallel(seat, CPU)
    found["agreed"] = placement.agree(seat.rank == 0), placement.agree(seat.rank == 1)
    found["total"] = placement.total(seat.rank + 0.5)
    with pytest.raises(Missing, match="between GPUs only"):
        end_of("bf16", seat, RECIPE)
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    said: list[str] = []
    result = spread(every_way, (), world=2, threads=1, say=said.append)
    assert said == ["2 processes"]
    return result


@pytest.fixture(scope="module")
def alone() -> End:
    return end_of("alone", ALONE, RECIPE)


@pytest.mark.parametrize("way", SPREAD_WAYS)
def test_two_processes_end_as_one_does(way: str, found: dict[str, Any], alone: End) -> None:
    assert apart(found[way], alone) <= EXACT


@pytest.mark.parametrize("way", ["ddp", "shard"])
@pytest.mark.parametrize(("kind", "recipe"), [("ragged", RAGGED), ("lonely", LONELY)])
def test_uneven_parts_weigh_what_their_rows_do(
    way: str, kind: str, recipe: Recipe, found: dict[str, Any]
) -> None:
    assert apart(found[f"{way} {kind}"], end_of("alone", ALONE, recipe)) <= EXACT


@pytest.mark.parametrize("way", SPREAD_WAYS)
def test_the_state_in_the_middle_is_whole_and_that_of_one_process(
    way: str, found: dict[str, Any], alone: End
) -> None:
    for kind in ("weights", "best"):
        for name, tensor in alone.halfway[kind].items():
            assert torch.allclose(found[way].halfway[kind][name], tensor, rtol=0, atol=EXACT)
    moments, theirs = (end.halfway["optimizer"]["state"] for end in (alone, found[way]))
    assert moments.keys() == theirs.keys()
    for number, one in moments.items():
        for name, tensor in one.items():
            assert torch.allclose(theirs[number][name], tensor, rtol=0, atol=EXACT)
    position, other = (end.halfway["position"] for end in (alone, found[way]))
    assert {**position, "order": 0, "total": 0} == {**other, "order": 0, "total": 0}
    assert other["total"] == pytest.approx(position["total"], abs=EXACT)


@pytest.mark.parametrize("way", SPREAD_WAYS)
def test_a_run_of_one_process_goes_on_in_two(way: str, found: dict[str, Any], alone: End) -> None:
    assert apart(found[f"{way} resumed"], alone) <= EXACT


@pytest.mark.parametrize(("way", "most"), [("zero", 0.75), ("shard", 0.55), ("ddp", 1.0)])
def test_sharding_keeps_a_part_of_the_moments_in_each_process(
    way: str, most: float, found: dict[str, Any], alone: End
) -> None:
    assert found[way].moments <= most * alone.moments


def test_compressed_gradients_end_nearby_and_not_equal(found: dict[str, Any], alone: End) -> None:
    assert EXACT < apart(found["fp16"], alone) < 0.05
    assert EXACT < apart(found["powersgd"], end_of("alone", ALONE, THIN, width=40)) < 0.5


def test_decisions_are_those_of_process_0(found: dict[str, Any]) -> None:
    assert found["agreed"] == (True, False)
    assert found["total"] == 2.0


def dies(seat: Seat, say: Callable[[str], None], how: str) -> None:
    """Process 1 dies while process 0 waits for it in an exchange."""
    if seat.rank == 1:
        match how:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "bug":
                raise ZeroDivisionError("by the second process")
    say("waiting")
    dist.all_reduce(torch.zeros(1))


@pytest.mark.parametrize("how", ["killed", "bug"])
def test_a_dead_process_ends_the_job_with_its_reason(how: str) -> None:
    started = time.monotonic()
    with pytest.raises((WorkerKilled, WorkerFailed)) as caught:
        spread(dies, (how,), world=2, threads=1)
    assert time.monotonic() - started < 30 + 60  # a busy host takes its time to start them
    if how == "killed":
        assert "process 1 of 2 was ended by SIGKILL" in str(caught.value)
        assert isinstance(caught.value, Missing)
    else:
        assert str(caught.value) == (
            "process 1 of 2 failed: ZeroDivisionError: by the second process"
        )
        assert 'raise ZeroDivisionError("by the second process")' in str(caught.value.__cause__)


def test_a_failure_that_users_can_meet_arrives_as_it_was() -> None:
    sent = portable(BadInput("no such `bars`", hint="name others"))
    error = told(Ending(1, pickle.loads(sent), "a traceback"), 2)
    assert isinstance(error, BadInput)
    assert (str(error), error.hint) == ("no such `bars`", "name others")
    assert portable(ZeroDivisionError()) == b""


def test_the_first_death_is_told_and_not_what_followed_from_it() -> None:
    assert Ending(0, told="RuntimeError: [gloo/x] Connection closed by peer").only_followed
    assert not Ending(1, told="ZeroDivisionError: x").only_followed
    assert not Ending(1, code=-9).only_followed


@pytest.mark.parametrize(
    ("environment", "seat"),
    [
        ({}, None),
        ({"RANK": "3"}, None),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Seat(3, 8, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Seat(0, 1, 0)),
    ],
)
def test_torchrun_says_which_place_a_process_has(
    environment: dict[str, str], seat: Seat | None
) -> None:
    assert seat_from_torchrun(environment) == seat


@pytest.mark.parametrize("rank", ["x", "2"])
def test_a_place_that_cannot_be_is_told(rank: str) -> None:
    with pytest.raises(Usage, match="RANK"):
        seat_from_torchrun({"RANK": rank, "WORLD_SIZE": "2"})


def test_a_group_of_one_is_the_same_code(tmp_path: Any, alone: End) -> None:
    with joined(Seat(0, 1, 0, tmp_path / "meeting"), CPU):
        for way in SPREAD_WAYS:
            assert apart(end_of(way, ALONE, RECIPE), alone) <= EXACT


def on_gpus(seat: Seat, say: Callable[[str], None]) -> dict[str, End]:
    del say
    return {way: end_of(way, seat, RECIPE, device=device_for(seat)) for way in SPREAD_WAYS}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NCCL needs a GPU: there is none here")
def test_gpus_end_as_one_process_on_the_cpu_does(alone: End) -> None:
    result = spread(on_gpus, (), world=min(2, torch.cuda.device_count()), threads=1)
    for way, end in result.items():
        assert apart(end, alone) <= 1e-9, way
