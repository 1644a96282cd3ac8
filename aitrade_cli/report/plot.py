"""Reports as pictures: `--plot FILE.png`, `.svg` or `.html`. Matplotlib loads only when one is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final, Literal

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.files import replace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

ENDINGS: Final = (".png", ".svg", ".html")
PANEL_INCHES: Final = (7.5, 3.0)
BAR_INCHES: Final = 0.28
TITLE_LETTERS: Final = 70  # what fits the width in bold
BLUE: Final = "#4477aa"  # readable to the colour-blind, Paul Tol's bright scheme


class UnknownPlot(Usage):
    """The file's ending names no kind of picture we draw."""

    default_hint = f"end the name in {', '.join(f'`{ending}`' for ending in ENDINGS)}"

    def __init__(self, path: str) -> None:
        super().__init__(f"`--plot {path}` is no picture we can draw")


@dataclass(frozen=True, slots=True)
class Bars:
    """One horizontal bar a label, read from the top; ``low`` and ``high`` are whiskers.

    On a logarithmic axis, where a bar's length means nothing, a dot stands for it.
    """

    labels: Sequence[str]
    values: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    texts: Sequence[str] | None = None  # written beside each


@dataclass(frozen=True, slots=True)
class Curve:
    """One named line; ``low`` and ``high`` shade the band around it."""

    name: str
    x: Sequence[float | int]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: Literal["line", "points"] = "line"


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes: either bars or curves."""

    title: str
    content: Bars | Sequence[Curve]
    x_label: str
    y_label: str = ""
    log: Literal["none", "x", "y", "both"] = "none"
    marks: Sequence[tuple[float, str]] = ()  # vertical lines worth pointing at


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels one below the other under one title."""

    title: str
    panels: Sequence[Panel]
    notes: Sequence[str] = ()  # printed small at the foot: device, threads, runs


def check_plot(path: str | None) -> None:
    """Refuse a name that `save_plot` would refuse, before the long work begins.

    Raises:
        UnknownPlot: the ending is not one of ``ENDINGS``.
        BadInput: the folder does not exist.
    """
    if path is None:
        return
    if Path(path).suffix.lower() not in ENDINGS:
        raise UnknownPlot(path)
    if not Path(path).resolve().parent.is_dir():
        raise BadInput(f"cannot write `{path}`: its folder is not there")


def save_plot(path: str, figure: Figure) -> None:
    """Draw a figure into a file; the ending chooses the kind. An old file is replaced.

    Raises:
        UnknownPlot: the ending is not one of ``ENDINGS``.
        BadInput: the folder does not exist or may not be written.
    """
    check_plot(path)
    ending = Path(path).suffix.lower()
    data = picture(figure, "png" if ending == ".png" else "svg")
    if ending == ".html":
        data = page(figure.title, data.decode())
    try:
        replace(Path(path), data)
    except OSError as error:
        raise BadInput(f"cannot write `{path}`: {error.strerror}") from error


def picture(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The file's bytes. The same figure gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    heights = [panel_height(panel) for panel in figure.panels]
    # Fixed salt and no date: a plot kept in a repository changes only when its numbers do.
    with matplotlib.rc_context({"svg.hashsalt": "aitrade", "svg.fonttype": "path"}):
        canvas = Canvas(figsize=(PANEL_INCHES[0], sum(heights) + 0.8), layout="constrained")
        FigureCanvasAgg(canvas)
        title = fill(figure.title, TITLE_LETTERS)
        canvas.suptitle(title, fontsize=12, fontweight="bold")
        axes = canvas.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
        for panel, ax in zip(figure.panels, axes[:, 0], strict=True):
            draw_panel(ax, panel)
        if figure.notes:
            canvas.supxlabel("\n".join(figure.notes), fontsize=7, color="0.35")
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        canvas.savefig(buffer, format=kind, dpi=144, metadata=metadata)
    return buffer.getvalue()


def panel_height(panel: Panel) -> float:
    if isinstance(panel.content, Bars):
        return 0.9 + BAR_INCHES * len(panel.content.labels)
    return PANEL_INCHES[1]


def draw_panel(ax: Axes, panel: Panel) -> None:
    ax.set_title(panel.title, fontsize=10, loc="left")
    ax.set_xlabel(panel.x_label, fontsize=8)
    ax.set_ylabel(panel.y_label, fontsize=8)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    if panel.log in {"x", "both"}:
        ax.set_xscale("log")
        plain_ticks(ax.xaxis)
    if panel.log in {"y", "both"}:
        ax.set_yscale("log")
        plain_ticks(ax.yaxis)
    if isinstance(panel.content, Bars):
        draw_bars(ax, panel.content, dots=panel.log in {"x", "both"})
    else:
        draw_curves(ax, panel.content)
    for at, text in panel.marks:
        ax.axvline(at, color="0.5", linewidth=0.8, linestyle="--")
        ax.annotate(text, (at, 1.0), xycoords=("data", "axes fraction"), fontsize=7, color="0.35")


def plain_ticks(axis: Axis) -> None:
    """Numbers as people write them, at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def draw_bars(ax: Axes, bars: Bars, *, dots: bool) -> None:
    rows = list(range(len(bars.labels)))
    if dots:
        ax.plot(bars.values, rows, "o", color=BLUE, markersize=5)
        ax.grid(axis="x", linewidth=0.4, color="0.85")
    else:
        ax.barh(rows, bars.values, height=0.65, color=BLUE)
    if bars.low is not None and bars.high is not None:
        ax.hlines(rows, bars.low, bars.high, color="0.2", linewidth=1.2)
    ends = bars.values if bars.high is None else bars.high
    for row, end, text in zip(rows, ends, bars.texts or (), strict=False):
        place = {"textcoords": "offset points", "va": "center", "fontsize": 7}
        ax.annotate(plain(text), (end, row), xytext=(6, 0), **place)
    ax.set_yticks(rows, [plain(label) for label in bars.labels])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    if bars.texts:
        ax.margins(x=0.2)


def plain(text: str) -> str:
    """Matplotlib would read a `$` in a file's name as the start of a formula."""
    return text.replace("$", r"\$")


def draw_curves(ax: Axes, curves: Sequence[Curve]) -> None:
    for number, curve in enumerate(curves):
        # The first is wide and pale, or the second would hide it wherever the two are equal.
        behind = number == 0 and curve.style == "line" and len(curves) > 1
        (line,) = ax.plot(
            curve.x,
            curve.y,
            "-" if curve.style == "line" else ".",
            linewidth=3.6 if behind else 1.2,
            alpha=0.5 if behind else 1.0,
            label=plain(curve.name),
        )
        if curve.low is not None and curve.high is not None:
            ax.fill_between(curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.2)
    if len(curves) > 1:
        ax.legend(fontsize=7, frameon=False)


def page(title: str, svg: str) -> bytes:
    """One HTML file that needs nothing beside it."""
    drawing = svg[svg.index("<svg") :]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        "<style>body{margin:2em auto;max-width:60em}svg{width:100%;height:auto}</style>"
        f"</head><body>{drawing}</body></html>\n"
    ).encode()
