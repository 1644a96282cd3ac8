"""`aitrade bench`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aitrade_cli.commands.lists import counts, words
from aitrade_cli.commands.options import (
    ArchFactory,
    Data,
    Json,
    ModelsIn,
    Plot,
    Seed,
    Symbol,
    TrustPickle,
    option,
)
from aitrade_cli.errors import Usage
from aitrade_cli.pipeline import emit, load_input, progress

if TYPE_CHECKING:
    from aitrade_cli.fidelity.report import EquivalenceReport
    from aitrade_cli.inference.bench_report import BenchReport
    from aitrade_cli.model.artefact import Artefact


def bench(
    models: ModelsIn,
    batch: Annotated[str, option("--batch", "-b", metavar="N,…", help="Windows in one call")] = "1",
    threads: Annotated[
        str, option("--threads", "-t", metavar="N,…", help="Threads of the runtime's pool")
    ] = "1",
    runtime: Annotated[
        str, option("--runtime", metavar="NAME,…", help="eager, compile, onnxruntime, openvino")
    ] = "",
    seconds: Annotated[
        float | None,
        option("--seconds", min=0.01, help="Of measured calls for each variant and batch size"),
    ] = None,
    runs: Annotated[
        int | None, option("--runs", min=1, help="Calls instead of seconds; p99.9 needs 10,000")
    ] = None,
    length: Annotated[
        int | None, option("--length", min=1, help="Rows in a window; the model's own without it")
    ] = None,
    equivalence: Annotated[
        bool, option("--equivalence", help="Also judge whether the second trades as the first")
    ] = False,
    data: Data = None,
    symbol: Symbol = None,
    plot: Plot = None,
    seed: Seed = 0,
    arch: ArchFactory = None,
    trust_pickle: TrustPickle = None,
    as_json: Json = False,
) -> None:
    """Every variant runs in a process of its own, in rounds of one turn each; a second
    process of the first variant shows how much of a difference is noise. Torch models run
    in eager and, exported, in ONNX Runtime; `compile` joins by itself where it compiles
    twice at most.

    Close other programs first: a loaded host changes winners, and the report says so.
    """
    from aitrade_cli.inference.bench import bench as bench_models
    from aitrade_cli.inference.bench_view import figure_of
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    batches, pools = counts(batch, "--batch"), counts(threads, "--threads")
    check_equivalence(models, data, equivalence=equivalence)
    effort = None if seconds is None and runs is None else Effort(seconds=seconds or 1.5, runs=runs)
    with progress("bench", as_json=as_json) as say:
        artefacts = [load_input(one, arch=arch, trust_pickle=trust_pickle) for one in models]
        report = bench_models(
            artefacts,
            batches=batches,
            threads=pools,
            runtimes=words([runtime]),
            effort=effort,
            length=length,
            seed=seed,
            say=say,
        )
        judged = judge_pair(artefacts, report, data, symbol, seed) if equivalence else None
    if plot:
        save_plot(plot, figure_of(report))
    emit(report, command="bench", as_json=as_json)
    if judged is not None:
        emit(judged, command="bench", as_json=as_json)
        if not judged.passed:
            raise typer.Exit(1)


def check_equivalence(models: list[str], data: str | None, *, equivalence: bool) -> None:
    if equivalence and len(models) != 2:
        raise Usage(f"`--equivalence` compares two models, not {len(models)}")
    if data is not None and not equivalence:
        raise Usage("`--data` goes with `--equivalence`; inputs come from the bars inside")


def judge_pair(
    artefacts: list[Artefact], report: BenchReport, data: str | None, symbol: str | None, seed: int
) -> EquivalenceReport:
    from aitrade_cli.fidelity.gain import Gain
    from aitrade_cli.fidelity.judge import judge
    from aitrade_cli.model.runtimes import start
    from aitrade_cli.passes.sample import gather

    before, after = artefacts
    pair = report.pair()
    gain = None
    if pair is not None:
        old, new = pair.before.latency, pair.after.latency
        gain = Gain(
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
    return judge(
        start(before),
        start(after),
        card=before.card,
        card_after=after.card,
        sample=gather(before.card, data, symbol).sample,
        gain=gain,
        seed=seed,
        before_name=before.name,
        after_name=after.name,
    )
