"""Proof of T10, T11, T12, T14 and T16: adapters, lock-free processes, loaders, search, vmap."""
# long because its problems stand beside their rows: other processes import them from here

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.errors import Missing
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.search.answers import Answer, OnEpoch
from aitrade_cli.search.objectives import Goal
from aitrade_cli.search.searching import Search, search_here
from aitrade_cli.search.space import Choice, Range, Space
from aitrade_cli.search.study import Study, held
from aitrade_cli.system.host import usable_cores
from aitrade_cli.training.hogwild import HogwildFit, HogwildSettings, run_wild
from aitrade_cli.training.loading import Loader, LoaderSettings, SharedWindows
from aitrade_cli.training.loading_choice import HOPELESS, Racer, find_settings, grid
from aitrade_cli.training.loop import Examples
from aitrade_cli.training.lora import LoraSettings, adapt
from aitrade_cli.training.lora_proof import CLOSE, LoraProof, prove
from aitrade_cli.training.vectorized import Ensemble, row_gradients

RANK: Final = LoraSettings(rank=8)
EQUAL: Final = 1e-6
WORDS: Final = 10_000  # of the sparse problem


def adapters_are_proven(quick: bool) -> CheckResult:
    """Every adapter learns, is heard in evaluation mode, and is the same once folded in."""
    names = ("lstm", "transformer") if quick else MODELS
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
    networks: dict[str, tuple[nn.Module, Tensor]] = {
        "nn.TransformerEncoder": (nn.TransformerEncoder(layer, 2), torch.randn(8, 16, 64))
    }
    for name in names:
        artefact = load(model_file(name).read_bytes(), name=name)
        width = artefact.card.inputs[0].shape[-1]
        networks[name] = (build(artefact), torch.randn(8, 64, int(width or 1)))
    bounds: list[Bound] = []
    cases: list[Case] = []
    for name, (network, windows) in networks.items():
        proof = prove(network, RANK, windows)
        saved = adapt(deepcopy(network), RANK).optimizer_saved
        bounds += lora_bounds(name, proof)
        cases.append(Case(name, None, saved, f"{proof.adapters} adapters, all with gradients"))
    mean = fmean(case.memory_saved or 0.0 for case in cases)
    return CheckResult(
        Measured(memory_saved=mean),
        tuple(bounds),
        "rank 8 on every weight, 8 random windows, two steps of Adam, dropout off where modes are"
        " compared; memory is that of the optimizer's moments; a step is about as fast",
        tuple(cases),
    )


def lora_bounds(name: str, proof: LoraProof) -> list[Bound]:
    modes = float("inf") if proof.modes is None else proof.modes
    return [
        Bound(f"{name} change before the first step", proof.start, 0.0, "at_most", "of a weight"),
        Bound(f"{name} evaluation against training", modes, CLOSE, "at_most", "of the answer"),
        Bound(f"{name} merged against beside", proof.merged, CLOSE, "at_most", "of the answer"),
    ]


@dataclass
class Regression:
    """A smooth function of 64 numbers; dense gradients."""

    count: int = 18_000
    helper: nn.Module = field(default_factory=nn.Identity)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(self.count + 2_000, 64, generator=draw).share_memory_()
        plane = torch.randn(64, 1, generator=draw) / 8
        self.wanted = (self.inputs @ plane).tanh().share_memory_()

    def __len__(self) -> int:
        return self.count

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        picked = torch.from_numpy(rows)
        return functional.mse_loss(network(self.inputs[picked]), self.wanted[picked])

    def validation_loss(self, network: nn.Module) -> float:
        with torch.no_grad():
            said = network(self.inputs[self.count :])
            return functional.mse_loss(said, self.wanted[self.count :]).item()


@dataclass
class Sparse(Regression):
    """Bags of 64 words out of 10,000; each update moves the embeddings of its words alone."""

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        shape = (self.count + 2_000, 64)
        self.inputs = torch.randint(0, WORDS, shape, generator=draw).share_memory_()
        values = (torch.arange(WORDS) % 7 - 3.0) / 3
        self.wanted = values[self.inputs].mean(dim=1, keepdim=True).share_memory_()


def dense_network() -> nn.Module:
    """Three linear layers of 64 units: the small net of the bar."""
    return nn.Sequential(
        *(nn.Linear(64, 64), nn.ReLU()), *(nn.Linear(64, 64), nn.ReLU()), nn.Linear(64, 1)
    )


def sparse_network() -> nn.Module:
    """An embedding that is all of the network that learns: what is read off it stays."""
    read = nn.Linear(32, 1).requires_grad_(requires_grad=False)
    return nn.Sequential(nn.EmbeddingBag(WORDS, 32, mode="mean", sparse=True), read)


def processes_do_not_wait(quick: bool) -> CheckResult:
    """Two processes on shared weights make more updates a second, and end as well as one."""
    if len(usable_cores()) < 2:
        raise Missing("one processor has nothing to gain from two processes")
    torch.manual_seed(0)
    settings = HogwildSettings(2, 200, 64, 0.05, patience=200, clip_norm=None)
    dense = compared(Regression(), dense_network(), settings, 2_000 if quick else None)
    bounds = [
        Bound("loss over one process'", dense.loss_ratio, 1.3, "at_most", "times"),
        Bound("updates a second", dense.speedup, 1.5, "at_least", "times"),
    ]
    cases = [Case("small net, dense", dense.speedup, None, dense.note)]
    if not quick:
        bounds.append(Bound("wall clock", dense.wall_ratio, 1.5, "at_least", "times"))
        few = HogwildSettings(2, 200, 64, 100.0, patience=200, clip_norm=None)
        sparse = compared(Sparse(), sparse_network(), few, 4_000)
        bounds.append(Bound("sparse loss", sparse.loss_ratio, 1.3, "at_most", "times"))
        bounds.append(Bound("sparse updates a second", sparse.speedup, 1.0, "at_least", "times"))
        cases.append(Case("embeddings, sparse", sparse.speedup, None, sparse.note))
    return CheckResult(
        Measured(speedup=dense.speedup),
        tuple(bounds),
        "2 processes of one thread against 1, plain descent, batch 64, 18,000 rows, as many"
        " updates of either; updates a second once both are at work; wall clock with the start",
        tuple(cases),
    )


@dataclass(frozen=True)
class Race:
    """One process and two on the same problem."""

    one: HogwildFit
    two: HogwildFit

    @property
    def speedup(self) -> float:
        """Of updates a second; 0 where it was over before the second process came."""
        alone = sum(self.one.updates) / self.one.wall_seconds
        return (self.two.together_per_second or 0.0) / alone

    @property
    def wall_ratio(self) -> float:
        return self.one.wall_seconds / self.two.wall_seconds

    @property
    def loss_ratio(self) -> float:
        return self.two.fit.best.validation_loss / self.one.fit.best.validation_loss

    @property
    def note(self) -> str:
        told = "" if self.speedup > 1.0 else "; not faster here"
        return f"{self.wall_ratio:.2f}x in wall clock with the start{told}"


def compared(
    problem: Regression, network: nn.Module, settings: HogwildSettings, least: int | None
) -> Race:
    """Two processes until the second made ``least`` updates, then one with as many as both."""

    def enough(updates: tuple[int, ...]) -> bool:
        return least is not None and updates[1] >= least

    two = run_wild(deepcopy(network), problem, settings, enough=enough)
    total = sum(two.updates)
    alone = replace(settings, workers=1)
    return Race(
        run_wild(deepcopy(network), problem, alone, enough=lambda done: done[0] >= total), two
    )


class Filtered:
    """A transform that takes a while: what workers are good for."""

    def __call__(self, window: Tensor) -> Tensor:
        smooth = window.numpy()
        for _ in range(12):
            columns = [np.convolve(column, np.full(3, 1 / 3), "same") for column in smooth.T]
            smooth = np.stack(columns, axis=1)
        return torch.from_numpy(smooth.astype(np.float32))


def loader_is_found(quick: bool) -> CheckResult:
    """The setting that a short race finds is as fast as the best of the whole grid."""
    bars = np.random.default_rng(0).standard_normal((6_000, 16)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(bars, 64, axis=0).transpose(0, 2, 1)
    examples = Examples(windows, np.zeros(len(windows), dtype=np.int64))
    problems = {
        "slices of memory": (SharedWindows.of(examples), 256),
        "slow transform": (SharedWindows.of(examples, Filtered()), 16),
    }
    bounds, cases = [], []
    for name, (source, batch) in problems.items():
        found = find_settings(source, batch)
        rates = rates_of(source, batch, found.settings, rounds=3 if quick else 8)
        best = max(rates, key=lambda one: rates[one])
        share = share_of(source, batch, found.settings, best)
        bounds.append(Bound(f"{name}: found", share, 0.95, "at_least", "of the best"))
        plain = next(rate for one, rate in rates.items() if one.workers == 0)
        note = f"{found.settings}; found in {found.seconds:.1f} s among {len(rates)}"
        cases.append(Case(name, rates[found.settings] / plain, None, note))
    return CheckResult(
        Measured(),
        tuple(bounds),
        "windows of 64x16 a second, best of rounds in turns over the whole grid, no worker"
        " included; what was found against the best of them, anew; speed is over no worker",
        tuple(cases),
    )


def share_of(
    source: SharedWindows, batch: int, found: LoaderSettings, best: LoaderSettings
) -> float:
    """The rate of one setting over that of another, measured anew.

    Whichever of several equal settings came out best had luck besides, which it has not twice.
    """
    if found == best:
        return 1.0
    racers = [
        Racer(Loader(source, one), batch, lambda _: None, time.perf_counter)
        for one in (found, best)
    ]
    try:
        take_turns(racers, 32)
        return racers[0].rate / racers[1].rate
    finally:
        for racer in racers:
            racer.loader.close()


def rates_of(
    source: SharedWindows, batch: int, found: LoaderSettings, rounds: int
) -> dict[LoaderSettings, float]:
    """Every setting of the grid, measured in turns and anew.

    After some rounds only those that could still be the best go on, and the one that was found: a
    host that was busy during one of three rounds would otherwise decide.
    """
    racers = [
        Racer(Loader(source, one), batch, lambda _: None, time.perf_counter) for one in grid()
    ]
    try:
        take_turns(racers, rounds)
        best = max(racer.rate for racer in racers)
        take_turns(
            [
                racer
                for racer in racers
                if racer.rate >= HOPELESS * best or racer.loader.settings == found
            ],
            2 * rounds,
        )
        return {racer.loader.settings: racer.rate for racer in racers}
    finally:
        for racer in racers:
            racer.loader.close()


def take_turns(racers: list[Racer], rounds: int) -> None:
    for number in range(rounds):
        for racer in racers if number % 2 == 0 else reversed(racers):
            racer.run(0.15)


SPACE: Final = Space(
    (
        Range("rate", 1e-4, 1e-1, log=True),
        Range("width", 8, 128),
        Range("decay", 0.0, 1.0),
        Choice("kind", ("lstm", "gru", "tcn")),
    )
)
GOAL: Final = (Goal("loss", "minimize"),)


def bowl(values: Mapping[str, Any], on_epoch: OnEpoch) -> Answer:
    """A trial that costs nothing; its loss falls over nine epochs."""
    least = abs(values["width"] - 40) / 100 + abs(values["decay"] - 0.3) + values["rate"]
    least += values["kind"] != "gru"
    for epoch in range(1, 10):
        if on_epoch(epoch, least + 1 / epoch):
            return Answer((least + 1 / epoch,), {}, epoch, 9, pruned=True)
    return Answer((least,), {}, 9, 9)


def search_goes_on(quick: bool) -> CheckResult:
    """200 trials cost less than two seconds, and a search that was cut off goes on alike."""
    trials = 60 if quick else 120
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        plain = searched(Path(folder) / "plain", 200, prune=False)
        overhead = time.perf_counter() - began
        whole = searched(Path(folder) / "whole", trials)
        for stop in (trials // 3, trials // 2, trials):
            again = searched(Path(folder) / "pieces", stop)
        params = [[trial.params for trial in one.trials] for one in (whole, again)]
        different = sum(one != other for one, other in zip(*params, strict=True))
        spent = [trial.user_attrs["epochs"] for trial in whole.trials]
        best = min(trial.value or 0.0 for trial in plain.complete)
    return CheckResult(
        Measured(),
        (
            Bound("overhead of 200 trials", overhead, 2.0, "at_most", "s"),
            Bound("proposals that a cut changed", different, 0, "at_most", "trials"),
            Bound("epochs trained, of all", sum(spent) / (9 * trials), 0.9, "at_most", "share"),
        ),
        f"trials that cost nothing, journal in a file; cut off twice and gone on with over {trials}"
        f" trials; lowest loss of 200: {best:.3f} in a bowl whose floor is 0",
    )


def searched(path: Path, trials: int, *, prune: bool = True) -> Study:
    with held(path):
        study = Study(path, SPACE, GOAL, key={}, prune=prune)
        search_here(Search(study, trials), bowl)
    return study


def many_at_once(quick: bool) -> CheckResult:
    """Gradients of single rows and whole ensembles in one pass, equal to the loop."""
    with pool_of(1):
        return _many_at_once(quick)


def _many_at_once(quick: bool) -> CheckResult:
    torch.manual_seed(0)
    members = [mlp() for _ in range(8)]
    inputs, targets = torch.randn(64, 64), torch.randint(0, 3, (64,))
    together = row_gradients(members[0], functional.cross_entropy, inputs, targets)
    alone = loop_gradients(members[0], inputs, targets)
    rows = max(float((together[name] - value).abs().max()) for name, value in alone.items())
    ensemble = Ensemble.of(members)
    with torch.no_grad():
        apart = torch.stack([network(inputs) for network in members])
        answers = float((ensemble(inputs) - apart).abs().max())
    rounds = 3 if quick else 15
    by_rows = faster(
        lambda: row_gradients(members[0], functional.cross_entropy, inputs, targets),
        lambda: loop_gradients(members[0], inputs, targets),
        rounds,
    )
    with torch.no_grad():
        by_members = faster(
            lambda: ensemble(inputs[:1]), lambda: [one(inputs[:1]) for one in members], rounds * 20
        )
    return CheckResult(
        Measured(speedup=by_rows),
        (
            Bound("gradients of rows against the loop", rows, EQUAL, "at_most", "absolute"),
            Bound("answers of members against the loop", answers, EQUAL, "at_most", "absolute"),
            Bound("gradients of 64 rows", by_rows, 1.0, "at_least", "times the loop"),
        ),
        "MLP 64-64-64-3, 1 thread; 64 rows, 8 members; speed is the median of rounds in turns",
        (
            Case("gradients of 64 rows", by_rows, None),
            Case(
                "8 members at batch 1",
                by_members,
                None,
                "" if by_members > 1.0 else "slower than one after the other here",
            ),
        ),
    )


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(64, 64), nn.ReLU()), *(nn.Linear(64, 64), nn.ReLU()), nn.Linear(64, 3)
    )


def loop_gradients(network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """One row after the other."""
    found: list[dict[str, Tensor]] = []
    weights = dict(network.named_parameters())
    for number in range(len(inputs)):
        said = network(inputs[number : number + 1])
        loss = functional.cross_entropy(said, targets[number : number + 1])
        slopes = torch.autograd.grad(loss, list(weights.values()))
        found.append(dict(zip(weights, slopes, strict=True)))
    return {name: torch.stack([one[name] for one in found]) for name in weights}


def faster(one: Callable[[], Any], other: Callable[[], Any], rounds: int) -> float:
    """How many times faster the first is, in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, seconds in zip((one, other), taken, strict=True):
            began = time.perf_counter()
            call()
            if number:  # the first call of each warms up
                seconds.append(time.perf_counter() - began)
    return median(taken[1]) / median(taken[0])
