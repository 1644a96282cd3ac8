"""Proof of C1 to C5: each compiler on the fixture models, measured here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import geometric_mean, median

import torch
from torch import Tensor

from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.turns import effort_of
from aitrade_cli.errors import Missing
from aitrade_cli.model.compilation.accelerator import (
    Switches,
    switches_that_pay,
    timed,
    why_no_cuda,
)
from aitrade_cli.model.compilation.torchscript import hot
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.start import why_not
from aitrade_cli.passes.compile.report import CompileLine, CompileReport
from aitrade_cli.passes.compile.run import compile_artefact
from aitrade_cli.passes.compile.settings import CompileSettings

LEAST_AGREEMENT = 0.99  # of decisions on held-out bars
QUICK = ("mlp", "tcn")
SERIES, ROUNDS = 2_000, 15
CONDITIONS = (
    "batch 1, 1 thread, one process a model, against eager float32; decisions on the held-out "
    "bars inside; memory is not changed"
)


class Unavailable(Missing):
    """What the row measures is not on this machine."""


def ahead_of_time(quick: bool) -> CheckResult:
    """Inductor's package opens in a fresh process without compiling, and decides the same."""
    reason = why_not("compile")
    if reason is not None:
        raise Unavailable(reason)
    # One compilation takes 10 to 40 seconds; recurrent networks only take one length.
    names = ("mlp",) if quick else ("mlp", "tcn", "transformer")
    return check(names, ("aoti",), quick=quick)


def scripted(quick: bool) -> CheckResult:
    """Frozen TorchScript decides the same; a hot loop over scalars is several times faster."""
    found = check(QUICK if quick else MODELS, ("torchscript",), quick=quick)
    ratio, apart = hot_loop()
    return CheckResult(
        found.measured,
        (
            *found.bounds,
            Bound("hot loop, speed over Python", ratio, 1.0, "at_least", "times"),
            Bound("hot loop, difference", apart, 1e-5, "at_most", ""),
        ),
        found.conditions,
        (*found.cases, Case("hot loop", ratio, None, f"a recursion over {SERIES:,} numbers")),
    )


def accelerated_linear_algebra(quick: bool) -> CheckResult:
    """XLA, where it is installed."""
    reason = why_not("xla")
    if reason is not None:
        raise Unavailable(reason)
    settings = CompileSettings(batches=(1,))
    cases = [case_of_name(name, "xla", settings) for name in (QUICK if quick else MODELS)]
    speeds = [case.speedup or 1.0 for case in cases]
    return CheckResult(Measured(geometric_mean(speeds)), (), CONDITIONS, tuple(cases))


def case_of_name(name: str, backend: str, settings: CompileSettings) -> Case:
    line = next(one for one in run(name, settings).candidates if one.backend == backend)
    speed = line.batches[0].speed if line.batches else None
    return Case(name, speed, None, line.reason)


def gpu_switches(quick: bool) -> CheckResult:
    """CuDNN's search and TF32 are set where they pay, and the process is left as it was."""
    reason = why_no_cuda()
    if reason is not None:
        raise Unavailable(reason)
    cases, speeds = [], []
    for name in QUICK if quick else MODELS:
        path = model_file(name)
        source = load(path.read_bytes(), name=path.name)
        module = build(source).cuda()
        length, width = source.card.window or 64, len(source.card.preprocessing.features)  # type: ignore[union-attr]
        window = torch.randn(256, length, width, device="cuda")
        call = lambda module=module, window=window: module(window)  # noqa: E731
        kept = switches_that_pay(call, torch.cuda.synchronize)
        plain = timed(call, torch.cuda.synchronize, Switches())
        speeds.append(plain / timed(call, torch.cuda.synchronize, kept))
        cases.append(Case(name, speeds[-1], None, f"kept: {kept}"))
    restored = not torch.backends.cudnn.benchmark
    bound = Bound("switches put back", float(restored), 1.0, "at_least", "")
    return CheckResult(Measured(geometric_mean(speeds)), (bound,), "batch 256, cuda", tuple(cases))


def fastest_backend(quick: bool) -> CheckResult:
    """The winner of the race is equivalent and never slower than the input."""
    names = QUICK if quick else MODELS
    return check(names, (), quick=quick, engines=True)


def check(
    names: Sequence[str],
    backends: tuple[str, ...],
    *,
    quick: bool,
    engines: bool = False,
) -> CheckResult:
    """Compile each model and take the geometric mean of the speed at the first batch."""
    # Engines that open ONNX are named, so that a model no engine speeds up ships, and is told.
    chosen = ("onnxruntime", "openvino") if engines else backends
    settings = CompileSettings(
        backends=chosen, batches=(1,) if quick else (1, 256), effort=effort_of(quick)
    )
    reports = {name: run(name, settings) for name in names}
    # A model that was kept as it is runs at its own speed.
    gains = [gain_of(report) or (1.0, 1.0, 1.0) for report in reports.values()]
    return CheckResult(
        Measured(
            speedup=geometric_mean([speed for speed, _, _ in gains]),
            speedup_low=geometric_mean([low for _, low, _ in gains]),
            speedup_high=geometric_mean([high for _, _, high in gains]),
            memory_saved=0.0,
        ),
        tuple(bound for name, one in reports.items() for bound in bounds_of(name, one, engines)),
        f"{', '.join(names)}: {CONDITIONS}",
        tuple(case_of(name, report) for name, report in reports.items()),
    )


def run(name: str, settings: CompileSettings) -> CompileReport:
    path = model_file(name)
    source = load(path.read_bytes(), name=path.name)
    return compile_artefact(source, settings, lambda ending: f"{name}{ending}").report


def gain_of(report: CompileReport) -> tuple[float, float, float] | None:
    found = None if report.equivalence is None else report.equivalence.gain
    if found is None or found.speedup is None:
        return None
    return found.speedup, found.speedup_low or 1.0, found.speedup_high or 1.0


def shipped(report: CompileReport) -> CompileLine | None:
    return next((line for line in report.candidates if line.status == "shipped"), None)


def bounds_of(name: str, report: CompileReport, engines: bool) -> tuple[Bound, ...]:
    found, line = report.equivalence, shipped(report)
    if line is None and engines:
        return ()  # kept as it is: nothing to compare
    decisions = None if found is None else found.decisions
    agreed = 0.0 if decisions is None or decisions.void else decisions.agreement
    bounds = [Bound(f"{name} agreement", agreed, LEAST_AGREEMENT, "at_least", "share")]
    if engines and line is not None:
        bounds += [
            Bound(f"{name} speed at batch {at.batch}", at.speed_high, 1.0, "at_least", "times")
            for at in line.batches
        ]
    return tuple(bounds)


def case_of(name: str, report: CompileReport) -> Case:
    gain, line = gain_of(report), shipped(report)
    speeds = (
        ""
        if line is None
        else ", ".join(f"{at.speed:.2f}x at batch {at.batch}" for at in line.batches)
    )
    note = f"{'kept eager' if line is None else line.name}; {speeds}; {report.verdict}"
    return Case(name, None if gain is None else gain[0], None, note)


def recursion(values: Tensor, decay: float) -> Tensor:
    """An exponential mean, number after number: what Python is slow at."""
    out = torch.zeros_like(values)
    state = torch.zeros(1)
    for at in range(values.shape[0]):
        state = decay * state + (1.0 - decay) * values[at]
        out[at] = state[0]
    return out


def hot_loop() -> tuple[float, float]:
    """How many times faster the scripted recursion is, and how far its answer is off."""
    fast = hot(recursion)
    values = torch.randn(SERIES, generator=torch.Generator().manual_seed(0))
    apart = float((fast(values, 0.9) - recursion(values, 0.9)).abs().max())
    slow_s, fast_s = [], []
    for _ in range(ROUNDS):
        slow_s.append(seconds(lambda: recursion(values, 0.9)))
        fast_s.append(seconds(lambda: fast(values, 0.9)))
    return median(slow_s) / median(fast_s), apart


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
