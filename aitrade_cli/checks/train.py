"""Proof of T1, T2, T5, T6, T9 and T13: each optimisation of training, measured here."""
# long because it is one proof a row, each short

from __future__ import annotations

import gc
import time
import warnings
from copy import deepcopy
from dataclasses import replace
from statistics import geometric_mean
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR

from aitrade_cli.checks.fixtures import MODELS
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.train_cases import (
    bytes_kept,
    deep_transformer,
    fixture_network,
    masked,
    network_of,
    noise_epochs,
    noise_labels,
    real_parts,
    small_net,
    speedup_of,
)
from aitrade_cli.market.deflated import Moments, deflate, expected_best, moments_of, probabilistic
from aitrade_cli.training.activations import recompute, watched
from aitrade_cli.training.goal import Hooks
from aitrade_cli.training.hygiene import Hygiene
from aitrade_cli.training.precision import has_units
from aitrade_cli.training.precision_choice import choose_precision
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Run, pursue
from aitrade_cli.training.schedules import Schedule
from aitrade_cli.training.state import Epoch
from aitrade_cli.training.trial import time_recipes

MOST_FLOAT32: Final = 1e-6  # of any weight, accumulated against whole
MOST_FLOAT64: Final = 1e-12
MOST_PEAK: Final = 0.20  # of the activations, 512 windows as 8 x 64
LEAST_HALF: Final = 1.35  # times, a whole step in bfloat16; upper end of the interval
HALF_ROUNDS: Final = 21
LEAST_HALF_SAVED: Final = 0.30
MOST_SLOWER: Final = 1 / 1.05  # `auto` against float32
LEAST_RECOMPUTED: Final = 0.90  # of the activation bytes
MOST_RECOMPUTE_TIME: Final = 1.45
# Recomputation is one more forward pass. How much of a step that is depends on the processor: the
# share is measured beside it, and a tenth allowed for the bookkeeping.
BOOKKEEPING: Final = 0.1
MOST_NOISE: Final = 0.05  # accepted
MOST_VIEWS: Final = 1 / 16  # bytes of windows as views, of their copies
STEPS: Final = 300


def steps_in_parts_are_whole(quick: bool) -> CheckResult:
    """A step in parts is the whole step, ragged and masked windows included, in less memory."""
    bounds = []
    for dtype, most in ((torch.float32, MOST_FLOAT32), (torch.float64, MOST_FLOAT64)):
        whole, parts = weights_after(dtype, 1), weights_after(dtype, 7)
        distance = (whole - parts).abs().max().item()
        name = str(dtype).removeprefix("torch.")
        bounds.append(Bound(f"{name} distance", distance, most, "at_most", "of a weight"))
    network = network_of("transformer", width=64, heads=[2, 2], head_size=32, ffn_sizes=[128, 128])
    goal = noise_labels(512)
    recipes = [Recipe(batch=512, accumulate=parts) for parts in (1, 8)]
    plain, apart = time_recipes(network, goal, recipes, rounds=3 if quick else 9)
    peak = apart.peak_bytes / plain.peak_bytes
    bounds.append(Bound("peak activations", peak, MOST_PEAK, "at_most", "of the whole step's"))
    value, low, high = speedup_of(plain, apart)
    return CheckResult(
        Measured(value, low, high, 1.0 - peak),
        tuple(bounds),
        "203 rows, a third masked, windows of 64 in 7 parts, 12 AdamW steps with clipping;"
        " memory: bytes that autograd holds, 512 windows as 8 x 64 on a small Transformer;"
        " speed: the same two, steps taken in turns",
    )


def weights_after(dtype: torch.dtype, parts: int) -> Tensor:
    """All weights after three epochs."""
    last: list[Tensor] = []

    def look(network: nn.Module, _step: int, _steps: int) -> None:
        last[:] = [torch.cat([one.detach().flatten() for one in network.parameters()])]

    recipe = Recipe(epochs=3, batch=64, accumulate=parts, clip_norm=0.05, patience=9)
    pursue(small_net(dtype), masked(dtype), recipe, hooks=Hooks(after_step=look))
    return last[0]


def half_the_bits(quick: bool) -> CheckResult:
    """bfloat16 makes large networks' steps faster; `auto` never makes a small one's slower."""
    if not has_units("bf16", "cpu"):
        choice = choose_precision("auto", small_net(torch.float32), masked(torch.float32), Recipe())
        stays = float(choice.precision == "fp32")
        bound = Bound("auto stays in float32", stays, 1, "at_least", "of 1")
        return CheckResult(Measured(), (bound,), "this CPU has no units for bfloat16")
    transformer = fixture_network("transformer")
    cases = {
        "transformer": (transformer, Recipe(batch=32, fused=True)),
        "lstm 256x2": (network_of("lstm", hidden_sizes=[256, 256]), Recipe(fused=True)),
    }
    bounds, told, speeds, saved = [], [], [], []
    for name, (network, recipe) in cases.items():
        trials = time_recipes(
            network,
            noise_labels(64),
            [recipe, replace(recipe, precision="bf16")],
            rounds=HALF_ROUNDS,
        )
        value, low, high = speedup_of(*trials)
        held = [bytes_kept(network, noise_labels(64), one.recipe) for one in trials]
        kept = 1.0 - held[1] / held[0]
        speeds.append((value, low, high))
        saved.append(kept)
        bounds.append(Bound(f"{name} step, upper end", high, LEAST_HALF, "at_least", "times"))
        bounds.append(Bound(f"{name} activations", kept, LEAST_HALF_SAVED, "at_least", "saved"))
        told.append(Case(name, value, kept, f"batch {recipe.batch}, length 64"))
    for name in ("mlp",) if quick else MODELS:
        bound, case = auto_case(name)
        bounds.append(bound)
        told.append(case)
    value, low, high = (geometric_mean(one) for one in zip(*speeds, strict=True))
    return CheckResult(
        Measured(value, low, high, float(np.mean(saved))),
        tuple(bounds),
        f"whole steps, fused AdamW, {HALF_ROUNDS} rounds in turns; recurrent networks on one"
        f" thread, others on {torch.get_num_threads()}; memory: all bytes that autograd holds"
        " once a forward pass is done",
        tuple(told),
    )


def auto_case(name: str) -> tuple[Bound, Case]:
    """What `auto` takes on a fixture, and that it is not slower than float32."""
    network, goal = fixture_network(name), noise_labels(64)
    recipe = Recipe(batch=16 if name == "transformer" else 64, fused=True)
    choice = choose_precision("auto", network, goal, recipe)
    taken = replace(recipe, precision=choice.precision)
    recipes = [recipe, recipe, taken]
    plain, again, other = time_recipes(network, goal, recipes, rounds=HALF_ROUNDS)
    value, _, high = speedup_of(plain, other)
    control, low, top = speedup_of(plain, again)
    note = f"{choice.precision}: {choice.why}; float32 against itself {control:.2f}x"
    case = Case(f"auto, {name}", value, None, f"{note} [{low:.2f}, {top:.2f}]")
    return Bound(f"auto on {name}, upper end", high, MOST_SLOWER, "at_least", "times"), case


def activations_are_made_twice(quick: bool) -> CheckResult:
    """Nearly all activation bytes go, and every gradient stays, bit by bit, dropout included."""
    network, goal = deep_transformer(), noise_labels(16)
    recipes = [Recipe(batch=16), Recipe(batch=16, activation_checkpointing=True)]
    plain, thrifty = time_recipes(network, goal, recipes, rounds=3 if quick else 15)
    value, low, high = speedup_of(plain, thrifty)
    rows = np.arange(16)
    same = [
        torch.equal(one, other)
        for one, other in zip(
            gradients(deepcopy(network), goal, rows, twice=False),
            gradients(deepcopy(network), goal, rows, twice=True),
            strict=True,
        )
    ]
    saved = 1.0 - thrifty.peak_bytes / plain.peak_bytes
    taken = total_saved(network, goal, rows)
    forward = forward_share(deepcopy(network), goal, rows)
    return CheckResult(
        Measured(value, low, high, saved),
        (
            Bound("bytes saved", taken, LEAST_RECOMPUTED, "at_least", "share"),
            # The lower end: a busy host must not fail a check.
            Bound("time, lower end", 1.0 / high, 1.0 + forward + BOOKKEEPING, "at_most", "times"),
            Bound("equal gradients", sum(same) / len(same), 1.0, "at_least", "share"),
        ),
        "6 layers of width 128, batch 16, length 64, dropout 0.1; bytes: what autograd saves in"
        " a forward pass, parameters not counted; memory saved: of the peak, recomputation"
        f" included; the forward pass is {forward:.0%} of a plain step's two passes",
        goals=(Bound("time, lower end", 1.0 / high, MOST_RECOMPUTE_TIME, "at_most", "times"),),
    )


def forward_share(network: nn.Module, goal: Any, rows: np.ndarray, rounds: int = 5) -> float:  # noqa: ANN401
    """How much of forward and backward together is forward: the median of a few."""
    network.train()
    shares = []
    for _ in range(rounds):
        started = time.perf_counter()
        loss = goal.loss(network, rows)
        between = time.perf_counter()
        loss.backward()
        shares.append((between - started) / (time.perf_counter() - started))
    return float(np.median(shares[1:]))


def gradients(network: nn.Module, goal: Any, rows: np.ndarray, *, twice: bool) -> list[Tensor]:  # noqa: ANN401
    if twice:
        recompute(network)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        goal.loss(network, rows).backward()
    return [one.grad for one in network.parameters() if one.grad is not None]


def total_saved(network: nn.Module, goal: Any, rows: np.ndarray) -> float:  # noqa: ANN401
    """Share of the bytes that are held when the forward pass is done."""
    held = []
    for twice in (False, True):
        copy = deepcopy(network).train()
        if twice:
            recompute(copy)
        with watched(copy.parameters()) as meter:
            loss = goal.loss(copy, rows)
            held.append(meter.live_bytes)
            del loss
    return 1.0 - held[1] / held[0]


def rates_are_their_curves(quick: bool) -> CheckResult:
    """OneCycle and warm restarts give torch's own rates, and momentum, in every step."""
    del quick  # milliseconds
    one = Recipe(learning_rate=0.02, schedule="onecycle")
    again = Recipe(epochs=12, learning_rate=0.02, schedule="restarts", restart_epochs=2)
    again = replace(again, restart_factor=2)
    first = 2 * (STEPS // again.epochs)
    apart = [
        distance(one, lambda made: OneCycleLR(made, max_lr=0.02, total_steps=STEPS)),
        distance(again, lambda made: CosineAnnealingWarmRestarts(made, T_0=first, T_mult=2)),
    ]
    return CheckResult(
        Measured(),
        (
            Bound("OneCycle distance", apart[0], 1e-12, "at_most", "of a rate"),
            Bound("restarts distance", apart[1], 1e-12, "at_most", "of a rate"),
        ),
        f"{STEPS} steps of each; cosine and linear with warm-up are held to closed forms by tests",
    )


def distance(recipe: Recipe, theirs: Any) -> float:  # noqa: ANN401
    """The largest difference of rate or momentum over all steps but the last."""
    mine, other = (torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.02) for _ in range(2))
    ours, most = Schedule(mine, recipe, STEPS), 0.0
    with warnings.catch_warnings():  # no optimizer step comes before the schedule's
        warnings.simplefilter("ignore")
        curve = theirs(other)
        for _ in range(STEPS - 1):
            here, there = mine.param_groups[0], other.param_groups[0]
            most = max(most, abs(here["lr"] - there["lr"]))
            most = max(most, abs(here["betas"][0] - there["betas"][0]))
            ours.step()
            curve.step()
    return most


def luck_is_not_an_edge(quick: bool) -> CheckResult:
    """Of runs on pure noise, stopped at the best Sharpe ratio, hardly one is accepted."""
    runs = 300 if quick else 2000
    told, bounds = [], []
    for kinship in (0.0, 0.5, 0.9):
        accepted = raw = 0
        for seed in range(runs):
            returns, sharpes = noise_epochs(seed, 50, kinship)
            moments = moments_of(returns)
            if moments is None:
                continue
            accepted += deflate(moments, sharpes).accepted
            raw += probabilistic(moments, 0.0) >= 0.95
        share = accepted / runs
        name = f"noise, {kinship:.0%} in common"
        # Two standard errors of so many tosses with one in twenty.
        slack = 2 * (MOST_NOISE * (1 - MOST_NOISE) / runs) ** 0.5
        bounds.append(Bound(name, share, MOST_NOISE + slack, "at_most", "accepted"))
        told.append(Case(name, None, None, f"{share:.1%} accepted; {raw / runs:.1%} undeflated"))
    luck = expected_best(100, 0.5 / 250)
    example = probabilistic(Moments(2.5 / 250**0.5, -3.0, 10.0, 1250), luck)
    bounds.append(Bound("SR0 of the example", abs(luck - 0.1132), 5e-5, "at_most", "off"))
    bounds.append(Bound("DSR of the example", abs(example - 0.9004), 5e-5, "at_most", "off"))
    return CheckResult(
        Measured(),
        tuple(bounds),
        f"{runs} runs of 50 looks at 252 days without an edge; the example is that of Bailey and"
        " López de Prado 2014",
        tuple(told),
    )


def memory_is_kept_clean(quick: bool) -> CheckResult:
    """Windows are views of the bars, steps leave nothing behind, the collector rests."""
    parts = real_parts()
    windows = parts.training.windows
    views = parts.series.features.nbytes / (windows.size * windows.itemsize)
    seen: list[int] = []

    class Counts(Hygiene):
        """As in a run, and counts the tensors that are alive."""

        def on_epoch(self, run: Run, epoch: Epoch) -> None:
            super().on_epoch(run, epoch)
            seen.append(sum(isinstance(one, Tensor) for one in gc.get_objects()))

    network = network_of("lstm", hidden_sizes=[32])
    recipe = Recipe(epochs=4 if quick else 10, batch=16, patience=99)
    counts = Counts()
    resting: list[bool] = []
    hooks = Hooks(after_step=lambda *_: resting.append(gc.isenabled()), callbacks=(counts,))
    pursue(network, noise_labels(128), recipe, hooks=hooks)
    grown = (counts.rss_bytes[-1] - counts.rss_bytes[1]) / 1e6
    return CheckResult(
        Measured(memory_saved=1.0 - views),
        (
            Bound("windows as views", views, MOST_VIEWS, "at_most", "of their copies"),
            Bound("tensors left by a pass", seen[-1] - seen[1], 0, "at_most", "tensors"),
            Bound("collections allowed in steps", sum(resting), 0, "at_most", "steps"),
            Bound("memory grown", grown, 8.0, "at_most", "MB"),
        ),
        f"{len(windows):,} windows of EURUSD bars; an LSTM of 32 units over {recipe.epochs}"
        " passes; resident memory after the second pass against the last",
    )
