"""Any two artefacts before the five gates: `bench --equivalence`."""

from __future__ import annotations

from dataclasses import replace

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.fidelity.judge import judge
from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.inference.bench_report import BenchReport
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.sample import gather


def compare(
    before: Artefact,
    after: Artefact,
    measured: BenchReport,
    *,
    data: str | None = None,
    symbol: str | None = None,
    budget: Budget | None = None,
    costs: Costs | None = None,
    seed: int = 0,
) -> EquivalenceReport:
    """Judge whether ``after`` may replace ``before``.

    Args:
        before: the original; its preprocessing and sample are used.
        after: the other one; its own decision rule is used for it.
        measured: a bench of both; the gain gate takes size and latency from it.
        data: bars to judge on; None takes the sample inside ``before``.
        symbol: which instrument of those bars.
        budget: what the change may cost.
        costs: of trading.
        seed: of noise and bootstrap.

    Raises:
        BadInput: the two take different inputs, or the bars cannot be used.
    """
    evidence = gather(before.card, data, symbol)
    report = judge(
        start(before),
        start(after),
        card=before.card,
        card_after=after.card,
        sample=evidence.sample,
        budget=budget,
        costs=costs,
        gain=gain_of(measured),
        seed=seed,
        before_name=before.name,
        after_name=after.name,
    )
    return replace(report, notes=(*report.notes, f"bars: {evidence.note}"))


def gain_of(measured: BenchReport) -> Gain | None:
    """Size and latency of the pair; None where one of the two did not run."""
    pair = measured.pair()
    if pair is None:
        return None
    old, new = pair.before.latency, pair.after.latency
    return Gain(
        size_bytes_before=old.size_bytes,
        size_bytes_after=new.size_bytes,
        latency_us_before=old.latency_us_p50,
        latency_us_after=new.latency_us_p50,
        speedup_low=pair.after.speed.interval.low,
        speedup_high=pair.after.speed.interval.high,
        noise_band=pair.noise_band - 1,
        asked_by_name=True,
        conditions=f"{old.runtime} against {new.runtime}, batch {old.batch},"
        f" {old.threads} thread, at least {min(old.runs, new.runs):,} runs",
    )
