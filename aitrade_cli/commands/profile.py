"""`aitrade profile`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aitrade_cli.commands.options import Force, Json, Plot, option
from aitrade_cli.errors import Usage
from aitrade_cli.pipeline import emit, progress

if TYPE_CHECKING:
    from aitrade_cli.commands.profile_outputs import Outputs
    from aitrade_cli.system.profiling.target import Program


def profile(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET [ARGS]...",
            help="Script with its arguments, a command after `--`, or a model file",
        ),
    ] = None,
    pid: Annotated[int | None, option("--pid", min=1, help="A process that runs already")] = None,
    try_fixes: Annotated[
        bool, option("--try-fixes", help="Rerun with each fix, and measure what was predicted")
    ] = False,
    rounds: Annotated[
        int,
        option(
            "--rounds",
            min=3,
            max=50,
            help="Least reruns with and without each fix; up to four times that in noise",
        ),
    ] = 3,
    collect: Annotated[
        str,
        option("--collect", metavar="NAME,…", help="cprofile, scalene, memray, torch, nsys, all"),
    ] = "hooks,py-spy",
    seconds: Annotated[
        float | None,
        option(
            "--seconds",
            min=0.01,
            variable="AITRADE_PROFILE_SECONDS",
            help="How long to watch a `--pid`",
        ),
    ] = None,
    flamegraph: Annotated[
        str | None,
        option("--flamegraph", metavar="FILE", help="Stacks: .svg, .html, or .json (speedscope)"),
    ] = None,
    trace: Annotated[
        str | None, option("--trace", metavar="FILE", help="Chrome trace of the phases, .json")
    ] = None,
    baseline: Annotated[
        str | None,
        option("--baseline", metavar="FILE", help="An earlier `--json` output to hold against"),
    ] = None,
    tolerance: Annotated[
        str, option("--tolerance", help="How far time or memory may rise above the baseline's")
    ] = "10%",
    batch: Annotated[
        str, option("--batch", "-b", metavar="N,…", help="Windows in one call of a model")
    ] = "1",
    live: Annotated[
        bool, option("--live", help="Show metrics while it runs, in place of a report")
    ] = False,
    openmetrics: Annotated[
        str | None,
        option("--openmetrics", metavar="FILE", help="With `--live`: a textfile to be scraped"),
    ] = None,
    jsonl: Annotated[
        str | None,
        option("--jsonl", metavar="FILE", help="With `--live`: the newest readings, one a line"),
    ] = None,
    keep: Annotated[
        int, option("--keep", min=1, max=1_000_000, help="Lines that `--jsonl` keeps")
    ] = 1_000,
    interval: Annotated[
        float, option("--interval", min=0.1, max=3600, help="Seconds between two live readings")
    ] = 0.5,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Runs the program once, unchanged, and names what its time and memory go to: the place, the
    share, the gain that is predicted, and the fix as a line or a diff. What the program prints
    goes to stderr. Options of a script stand after `--`: `aitrade profile train.py -- --steps 50`.

    `--try-fixes` runs it again with each fix and without, and reports what was measured; your
    files are not changed. Other collectors take a run of their own each.

    A program that fails exits 4; a baseline that is missed exits 1.
    """
    if live:
        from aitrade_cli.commands.profile_live import refuse_beside_live, watch_live

        refuse_beside_live(try_fixes, flamegraph, trace, baseline)
        outlets = {"openmetrics": openmetrics, "jsonl": jsonl, "keep": keep, "plot": plot}
        outlets["force"] = force
        watching = {"seconds": seconds, "interval": interval, "as_json": as_json}
        watch_live(target or [], pid, **outlets, **watching)
        return
    from aitrade_cli.commands.profile_outputs import Outputs

    outputs = Outputs(flamegraph, trace, plot, force)
    outputs.check()
    chosen = target_named(target or [], pid)
    if isinstance(chosen, str):
        profile_model_file(chosen, batch, outputs, as_json=as_json)
        return
    from aitrade_cli.commands.lists import words
    from aitrade_cli.commands.shares import share
    from aitrade_cli.system.profiling.baseline import against, read_baseline
    from aitrade_cli.system.profiling.process import profile_process
    from aitrade_cli.system.profiling.profiler import Wanted, profile_program

    wanted = Wanted(tuple(words([collect])), try_fixes, rounds, trace is not None)
    earlier, allowed = baseline and read_baseline(baseline), share(tolerance, "--tolerance")
    with progress("profile", as_json=as_json) as say:
        if isinstance(chosen, int):
            done = profile_process(chosen, seconds, say)
        else:
            done = profile_program(chosen, wanted, say)
    report = against(done.report, earlier, allowed) if earlier else done.report
    outputs.write(done)
    emit(report, command="profile", as_json=as_json)
    if report.interrupted:
        raise typer.Exit(130)
    if report.against is not None and report.against.worse:
        raise typer.Exit(1)


def target_named(words: list[str], pid: int | None) -> Program | str | int:
    """A program, the path of a model file, or a process by its number.

    Raises:
        NothingToProfile: there is no target, or there are two.
    """
    from aitrade_cli.system.profiling.target import ModelFile, NothingToProfile, target_of

    if pid is not None:
        if words:
            raise NothingToProfile("`--pid` and a target were given: which of the two?")
        return pid
    found = target_of(words)
    if isinstance(found, ModelFile):
        if len(words) > 1:
            raise NothingToProfile(f"`{words[1]}` follows a model file, which takes no arguments")
        return found.path
    return found


def profile_model_file(path: str, batch: str, outputs: Outputs, *, as_json: bool) -> None:
    """A model: its operators, memory and latency."""
    from aitrade_cli.commands.lists import counts
    from aitrade_cli.inference.model_profile import profile_model
    from aitrade_cli.inference.model_profile_report import figure_of
    from aitrade_cli.pipeline import load_input
    from aitrade_cli.report.plot import save_plot

    if outputs.flamegraph or outputs.trace:
        raise Usage("a model file has no flamegraph and no trace", hint="`--plot FILE` draws it")
    sizes = counts(batch, "--batch")
    with progress("profile", as_json=as_json) as say:
        artefact = load_input(path)
        reports = [profile_model(artefact, batch=size, path=path, say=say) for size in sizes]
    if outputs.plot:
        save_plot(outputs.plot, figure_of(reports[0]))
    for report in reports:
        emit(report, command="profile", as_json=as_json)
