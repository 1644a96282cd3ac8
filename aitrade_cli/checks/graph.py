"""Proof of M12: the graph passes on a network that has what they look for, and on the fixtures."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, fx, nn

from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.model.fx_passes import GraphReport, fold_graph, optimize_graph
from aitrade_cli.model.loading import load

ROUNDS = 60
EXACT = 1e-4  # of the largest output: a folded norm rounds anew
FEWEST = 8  # nodes that the planted network has too many


class Planted(nn.Module):
    """Three normalized convolutions, a result computed twice, one nobody reads, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(20, 20, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(20) for _ in range(3))
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 20))

    def forward(self, window: Tensor) -> Tensor:
        signal = window.transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            signal = norm(conv(signal)).relu()
        torch.sin(signal)
        signal = signal * torch.exp(self.scale.neg()).unsqueeze(-1)
        return (torch.tanh(signal) + torch.tanh(signal)).mean(dim=-1)


def folds_without_a_trace(quick: bool) -> CheckResult:
    """Nodes go, outputs stay; how much faster eager becomes is measured, not promised."""
    network = planted()
    window = torch.randn(3, 64, 20, generator=torch.Generator().manual_seed(1))
    folded, report = fold_graph(network, window, "planted")
    with torch.inference_mode():
        ratio = speed(network, folded, window[:1])
        apart = float((network(window) - folded(window)).abs().max())
    cases = [Case("planted", ratio, None, told(report))]
    for name in ("tcn",) if quick else MODELS:
        path = model_file(name)
        _, one = optimize_graph(load(path.read_bytes(), name=path.name))
        cases.append(Case(name, None, None, told(one)))
    bounds = (
        Bound("planted nodes removed", report.nodes_removed, FEWEST, "at_least", "nodes"),
        Bound("planted difference", apart, EXACT, "at_most", "of an output"),
    )
    conditions = (
        f"eager before and after, batch 1, {ROUNDS} rounds, {torch.get_num_threads()} thread"
    )
    return CheckResult(Measured(speedup=ratio), bounds, conditions, tuple(cases))


def planted() -> nn.Module:
    """The network with statistics as after training; torch's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Planted()
        for norm in network.norms:
            assert isinstance(norm, nn.BatchNorm1d)
            nn.init.uniform_(norm.weight, 0.5, 2.0)
            assert norm.running_mean is not None
            norm.running_mean.normal_()
    return network.eval()


def speed(before: nn.Module, after: fx.GraphModule, window: Tensor) -> float:
    """Median of the one over the other, in alternating rounds."""
    old: list[float] = []
    new: list[float] = []
    for _ in range(ROUNDS):
        old.append(seconds(lambda: before(window)))
        new.append(seconds(lambda: after(window)))
    return median(old) / median(new)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def told(report: GraphReport) -> str:
    parts = ", ".join(f"{one.name} {one.nodes_removed}" for one in report.passes)
    return f"{report.nodes_removed} of {report.nodes_before} nodes removed ({parts})"
