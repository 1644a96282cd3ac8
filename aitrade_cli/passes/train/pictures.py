"""Loss and equity curves of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aitrade_cli.errors import BadInput
from aitrade_cli.passes.train.judge import Judged
from aitrade_cli.passes.train.report import TrainReport
from aitrade_cli.report.plot import Curve, Figure, Panel, save_plot


def figure_of(report: TrainReport, judged: Judged) -> Figure:
    """Both, one below the other."""
    panels = [loss_panel(report), *figure_panels(report), equity_panel(judged)]
    return Figure(f"{report.arch} on {report.symbol or 'bars'}", panels, conditions(report))


def save_pictures(folder: Path, report: TrainReport, judged: Judged) -> TrainReport:
    """``loss.png`` and ``equity.png`` in the run's folder; what cannot be written is noted.

    The model is trained and written by then: a full disk takes the pictures, not the report.

    Returns:
        The report, with a note where one is missing.
    """
    told = conditions(report)
    title = f"{report.arch} on {report.symbol or 'bars'}"
    losses = [loss_panel(report), *figure_panels(report)]
    figures = {
        "loss.png": Figure(title, losses, told),
        "equity.png": Figure(title, [equity_panel(judged)], told),
    }
    missing = []
    for name, figure in figures.items():
        try:
            save_plot(str(folder / name), figure)
        except BadInput as error:
            missing.append(f"not drawn: {error}")
    return replace(report, notes=(*report.notes, *missing))


def loss_panel(report: TrainReport) -> Panel:
    numbers = [one.number for one in report.epochs]
    curves = [
        Curve("training", numbers, [one.training_loss for one in report.epochs]),
        Curve("validation", numbers, [one.validation_loss for one in report.epochs]),
    ]
    marks = [(float(report.best_epoch), "kept")]
    return Panel("Loss", curves, "epoch", "nats", marks=marks)


def figure_panels(report: TrainReport) -> list[Panel]:
    """Sharpe ratio on validation bars, where it is defined."""
    known = [(one.number, one.figures.get("sharpe")) for one in report.epochs]
    told = [(number, value) for number, value in known if value is not None]
    if not told:
        return []
    curve = Curve("Sharpe", [number for number, _ in told], [value for _, value in told])
    return [Panel("Sharpe ratio on validation bars", [curve], "epoch", "a year, after costs")]


def equity_panel(judged: Judged) -> Panel:
    curve = Curve("model", range(len(judged.equity)), judged.equity.tolist())
    title = "Equity on the untouched test part"
    return Panel(title, [curve], "test bars", "capital, 1 at the start")


def conditions(report: TrainReport) -> list[str]:
    return [
        f"{report.steps:,} steps, {report.precision.precision}, {report.device},"
        f" {report.threads} thread{'s' * (report.threads > 1)}, {report.seconds:.1f} s"
    ]
