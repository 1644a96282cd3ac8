"""Proof of T3, T4, T7 and T8: states that outlive a run, and runs in several processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from torch import nn

from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.training.checkpoints.layout import read
from aitrade_cli.training.checkpoints.writer import Cost, Writer
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.launch import spread
from aitrade_cli.training.distributed.trial import (
    End,
    Halfway,
    Layers,
    Pace,
    Planted,
    apart,
    dtype_of,
    end_of,
    ends,
    pace,
)
from aitrade_cli.training.goal import Hooks
from aitrade_cli.training.placement import copy_of
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import pursue
from aitrade_cli.training.state import State

EXACT: Final = 1e-12
CLOSE: Final = 2.5e-7  # two units in the last place of a float32 near 1
MOST_KEPT: Final = 0.55  # of the moments, by one of two processes
MOST_STALL: Final = 0.2  # of what torch.save takes
MOST_FLOAT32, MOST_BFLOAT16 = 0.84, 0.68  # of the raw bytes
LEAST_FLOAT32, LEAST_BFLOAT16 = 400.0, 250.0  # MB a second of one core
LEAST_SPEED: Final = 1.5  # of two processes over one, one thread each
SHARE_OF_CORES: Final = 0.75  # of what a host that is busy has to give
RECIPE: Final = Recipe(epochs=2, batch=21, seed=1)
TWO: Final = "2 processes over gloo on this host, 1 thread each, float64, 10 steps of AdamW"


def checkpoints_do_not_stall(quick: bool) -> CheckResult:
    """A checkpoint stalls training a fifth of `torch.save`; a resumed run ends bit for bit."""
    network, optimizer = trained(width=1256)
    state = {"weights": network.state_dict(), "optimizer": optimizer.state_dict()}
    rounds = 8 if quick else 16
    with tempfile.TemporaryDirectory() as place:
        saves, costs = saved_both_ways(Path(place), state, rounds)
        halves = {name: one.bfloat16() for name, one in network.state_dict().items()}
        _, small = saved_both_ways(Path(place), halves, rounds)
        differing = differences_after_resume(Path(place))
    stalls = [cost.stall_seconds for cost in costs]
    # Turn by turn, then the median: what slows the host for a while slows both sides.
    stall = median(one / other for one, other in zip(stalls, saves, strict=True))
    bounds = (
        Bound("stall", stall, MOST_STALL, "at_most", "of torch.save"),
        Bound("float32 file", ratio(costs), MOST_FLOAT32, "at_most", "of raw"),
        Bound("bfloat16 file", ratio(small), MOST_BFLOAT16, "at_most", "of raw"),
        Bound("float32 written", speed(costs), LEAST_FLOAT32, "at_least", "MB/s a core"),
        Bound("bfloat16 written", speed(small), LEAST_BFLOAT16, "at_least", "MB/s a core"),
        Bound("after a resume", float(differing), 0.0, "at_most", "weights that differ"),
    )
    size = costs[0].written.raw_bytes / 1e6
    return CheckResult(
        Measured(memory_saved=1.0 - ratio(costs)),
        bounds,
        f"weights and AdamW's moments of a trained network, {size:.0f} MB; {rounds} rounds, each"
        f" way in turn, medians: stall {median(stalls) * 1e3:.0f} ms, torch.save"
        f" {median(saves) * 1e3:.0f} ms; resumed in the middle of a pass",
    )


def trained(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    network = Layers(width, 10, torch.float32)
    optimizer = torch.optim.AdamW(network.parameters())
    rows = Planted(64, width, torch.float32).inputs[:64]
    for _ in range(5):
        network(rows).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, optimizer


def saved_both_ways(
    folder: Path, state: Mapping[str, Any], rounds: int
) -> tuple[list[float], list[Cost]]:
    """Seconds of `torch.save`, and what each checkpoint cost; the first of each is left out."""
    saves: list[float] = []
    costs: list[Cost] = []
    writer = Writer(costs.append)
    for _ in range(rounds + 1):
        started = time.perf_counter()
        torch.save(state, folder / "state.pt")
        saves.append(time.perf_counter() - started)
        writer.save(folder / "state.ckpt", state, {})
        writer.wait()
    return saves[1:], costs[1:]


def ratio(costs: list[Cost]) -> float:
    return costs[-1].written.stored_bytes / costs[-1].written.raw_bytes


def speed(costs: list[Cost]) -> float:
    return max(cost.written.raw_bytes / cost.cpu_seconds for cost in costs) / 1e6


def differences_after_resume(folder: Path) -> int:
    """Weights that a run taken up in the middle of a pass ends with otherwise."""
    objective, whole = Planted(90, 6), Layers(6, 3)
    recipe = replace(RECIPE, epochs=3)
    halfway, path = Halfway(step=7), folder / "halfway.ckpt"  # the second of a pass of five
    pursue(whole, objective, recipe, hooks=Hooks(callbacks=(halfway,)))
    writer = Writer()
    writer.save(path, halfway.taken, {})
    writer.wait()
    resumed, state = Layers(6, 3), State.from_dict(read(path).tree)
    pursue(resumed, objective, recipe, state=state)
    ours, theirs = copy_of(resumed), copy_of(whole)
    return sum(not torch.equal(ours[name], theirs[name]) for name in theirs)


def two_processes_learn_as_one(quick: bool) -> CheckResult:
    """Two processes end as one does, and take a step in two thirds of its time or less."""
    found, rounds = spread(ends_and_paces, (3 if quick else 7,), world=2, threads=1)
    ratios = sorted(one.speedup for one in rounds)
    low, middle, high = ratios[0], median(ratios), ratios[-1]
    # Two processes that share nothing show how much of a second core there is just now.
    there = max(2 * one.alone / one.beside for one in rounds)
    return CheckResult(
        Measured(speedup=middle, speedup_low=low, speedup_high=high),
        (
            exact("DDP", found["ddp"]),
            Bound(
                "step, upper end",
                high,
                min(LEAST_SPEED, SHARE_OF_CORES * there),
                "at_least",
                "times",
            ),
        ),
        f"{TWO}; speed: batch 4,096 of 512 numbers through 3 layers of 512, float32, {len(rounds)}"
        " rounds of one process and two in turn, one thread each, the best held to its limit: two"
        f" processes that share nothing got {there:.2f} times one's work done; NCCL was not run",
        goals=(Bound("step, upper end", high, LEAST_SPEED, "at_least", "times"),),
    )


def ends_and_paces(
    seat: Seat, say: Callable[[str], None], rounds: int
) -> tuple[dict[str, End], list[Pace]]:
    """What one start of two processes has to tell."""
    return ends(seat, say, ("ddp",), RECIPE), pace(seat, say, 512, 4096, 3, rounds)


def shards_learn_as_the_whole(quick: bool) -> CheckResult:
    """Sharded optimizer, sharded weights and DeepSpeed's ZeRO-2 end as one process does."""
    del quick
    ours = by_deepspeed("deepspeed")
    found = spread(ends, (("zero", "shard", *ours), RECIPE), world=2, threads=1)
    shares = {way: end.moments / alone(dtype_of(way)).moments for way, end in found.items()}
    return CheckResult(
        Measured(memory_saved=1.0 - shares["shard"]),
        (
            exact("ZeRO-1", found["zero"]),
            exact("FSDP2", found["shard"]),
            Bound("FSDP2 moments", shares["shard"], MOST_KEPT, "at_most", "of one process'"),
            *(close("DeepSpeed ZeRO-2", found[way]) for way in ours),
            *(
                Bound("DeepSpeed moments", shares[way], MOST_KEPT, "at_most", "of one process'")
                for way in ours
            ),
        ),
        f"{TWO}; saved: of the optimizer's numbers in process 0; {deepspeed_told(ours)}",
        tuple(Case(way, None, 1.0 - share) for way, share in shares.items()),
    )


def offloaded_weights_learn_the_same(quick: bool) -> CheckResult:
    """FSDP2 and DeepSpeed with what they offload in main memory end as one process does."""
    del quick
    ours = by_deepspeed("deepspeed+offload")
    found = spread(ends, (("shard+offload", *ours), RECIPE), world=2, threads=1)
    return CheckResult(
        Measured(),
        (
            exact("FSDP2 with offload", found["shard+offload"]),
            *(close("DeepSpeed with offload", found[way]) for way in ours),
        ),
        f"{TWO}; what a GPU saves by it was not measured here; {deepspeed_told(ours)}",
    )


def by_deepspeed(way: str) -> tuple[str, ...]:
    """This way of the trial, where it can be gone here."""
    return (way,) if find_spec("deepspeed") else ()


def deepspeed_told(ways: tuple[str, ...]) -> str:
    return "DeepSpeed in float32" if ways else "DeepSpeed is not installed"


@cache
def alone(dtype: torch.dtype) -> End:
    """One process, in these floats: what every way is compared with."""
    return end_of("alone", Seat(0, 1, 0), RECIPE, dtype=dtype)


def close(name: str, end: End) -> Bound:
    return Bound(name, apart(end, alone(torch.float32)), CLOSE, "at_most", "difference")


def exact(name: str, end: End) -> Bound:
    return Bound(name, apart(end, alone(torch.float64)), EXACT, "at_most", "difference")
