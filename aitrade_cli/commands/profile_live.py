"""`aitrade profile --live`: the screen, the lines or the JSON of a watched process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aitrade_cli.errors import Usage
from aitrade_cli.pipeline import emit

if TYPE_CHECKING:
    from aitrade_cli.system.live.report import LiveNow

LINE_SECONDS = 1.0  # between two lines where there is no screen


def watch_live(
    words: list[str],
    pid: int | None,
    *,
    seconds: float | None,
    interval: float,
    openmetrics: str | None,
    jsonl: str | None,
    keep: int,
    plot: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Watch a process; ends with 130 on ^C, the report printed."""
    from aitrade_cli.report.plot import check_plot, save_plot
    from aitrade_cli.system.live.report import figure_of
    from aitrade_cli.system.live.watcher import Outlets, watch

    if pid is None or words:
        raise Usage("`--live` watches a process that runs", hint="name it with `--pid NUMBER`")
    check_plot(plot)
    outlets = Outlets(
        None if openmetrics is None else Path(openmetrics),
        None if jsonl is None else Path(jsonl),
        keep,
        force,
    )
    with showing(as_json=as_json) as show:
        watched = watch(pid, seconds=seconds, interval_s=interval, outlets=outlets, show=show)
    if plot:
        save_plot(plot, figure_of(watched.report, watched.moments))
    emit(watched.report, command="profile", as_json=as_json)
    if watched.report.interrupted:
        raise typer.Exit(130)


def refuse_beside_live(
    try_fixes: bool, flamegraph: str | None, trace: str | None, baseline: str | None
) -> None:
    """Refuse what a watch from outside cannot give.

    Raises:
        Usage: one of them was asked for.
    """
    asked = {"--try-fixes": try_fixes, "--flamegraph": flamegraph, "--trace": trace}
    for name, value in {**asked, "--baseline": baseline}.items():
        if value:
            raise Usage(f"`--live` has no `{name}`", hint="profile the program without `--live`")


@contextmanager
def showing(*, as_json: bool) -> Iterator[Callable[[LiveNow], None]]:
    """A screen on a terminal, else a line a second, or an object for every reading."""
    if as_json:
        from aitrade_cli.report.ndjson import write

        def say(now: LiveNow) -> None:
            if now.moments:
                write(sys.stderr, "profile", "progress", now.moments[-1])

        yield say
    elif sys.stderr.isatty():
        from aitrade_cli.report.blocks import view
        from aitrade_cli.report.draw import refreshing

        with refreshing(sys.stderr) as draw:
            yield lambda now: draw(view(now))
    else:
        yield Lines()


class Lines:
    """One line a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, now: LiveNow) -> None:
        from aitrade_cli.pipeline.progress import print_line
        from aitrade_cli.units import bytes_text, seconds_text

        if not now.moments or now.watched_seconds < self._next:
            return
        self._next = now.watched_seconds + LINE_SECONDS
        last = now.moments[-1]
        print_line(
            f"profile: {seconds_text(now.watched_seconds)}  {last.cpu_cores:.2f} cores"
            f"  {bytes_text(last.rss_bytes)}  {last.threads} threads"
            f"  watching {last.sampler_share:.2%}"
        )
