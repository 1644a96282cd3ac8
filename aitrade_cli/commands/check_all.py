"""`aitrade check-all`"""

from __future__ import annotations

from typing import Annotated

import typer

from aitrade_cli.commands.options import Json, option
from aitrade_cli.commands.shares import share


def check_all(
    only: Annotated[
        list[str] | None, option("--only", metavar="ID", help="Only these rows: `M4,G1`")
    ] = None,
    quick: Annotated[
        bool, option("--quick", help="Fewer models and runs; within 15 minutes")
    ] = False,
    timeout: Annotated[
        float | None, option("--timeout", min=1.0, metavar="SECONDS", help="Limit for each row")
    ] = None,
    baseline: Annotated[
        str | None,
        option("--baseline", metavar="FILE", help="An earlier `--json` output to hold against"),
    ] = None,
    tolerance: Annotated[
        str, option("--tolerance", help="How far a ratio may fall below the baseline's")
    ] = "10%",
    junit: Annotated[
        str | None,
        option("--junit", metavar="FILE", help="Write JUnit XML too, over an earlier one"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Each row runs in a process of its own, one after the other, and is measured here:
    the published claim is printed beside the figure and never used as it.

    A row is `held`, `below_claim`, `unavailable` (with the reason) or `failed`. Exit 1
    only for `failed`, or for a ratio that fell behind `--baseline` by more than
    `--tolerance`. Close other programs first: a loaded machine measures badly.
    """
    from aitrade_cli.checks.baseline import compare, read_baseline
    from aitrade_cli.checks.report import CheckReport
    from aitrade_cli.checks.runner import rows_named, run_checks
    from aitrade_cli.pipeline import emit, output_name, progress, write_output

    allowed = share(tolerance, "--tolerance")
    rows = rows_named(only or [])
    earlier = read_baseline(baseline) if baseline else {}
    junit = output_name("", junit, "", force=True) if junit else None
    lines = []
    with progress("check-all", as_json=as_json) as say:
        for line in run_checks(rows, quick=quick, timeout_seconds=timeout, say=say):
            lines.append(compare(line, earlier.get(line.id), allowed))
            if as_json:
                emit(lines[-1], command="check-all", as_json=True, artefact=junit, kind="check")
    report = CheckReport(tuple(lines))
    if junit:
        from aitrade_cli.checks.junit import junit as as_junit

        write_output(junit, as_junit(report.lines), force=True)
    if not as_json:
        emit(report, command="check-all", as_json=False, artefact=junit)
    if not report.passed:
        raise typer.Exit(1)
