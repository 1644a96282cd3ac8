"""The files that `aitrade profile` writes besides its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aitrade_cli.errors import Missing, Usage
from aitrade_cli.pipeline import output_name, write_output

if TYPE_CHECKING:
    from aitrade_cli.system.profiling.profiler import Profiled

PICTURES: Final = (".svg", ".html", ".json")


class UnknownFlamegraph(Usage):
    """The file's ending names no kind of flamegraph."""

    default_hint = "end it in `.svg`, `.html`, or `.json` for speedscope"


class NoStacks(Missing):
    """A flamegraph was asked for and nothing sampled the stacks."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where they go. Asked before the long work begins."""

    flamegraph: str | None
    trace: str | None
    plot: str | None
    force: bool

    def check(self) -> None:
        """Refuse names that cannot be written.

        Raises:
            UnknownFlamegraph: an ending that is no picture of stacks.
            WouldOverwrite: a file is there and `--force` was not given.
        """
        from aitrade_cli.report.plot import check_plot

        check_plot(self.plot)
        if self.flamegraph and not self.flamegraph.endswith(PICTURES):
            raise UnknownFlamegraph(f"`--flamegraph {self.flamegraph}` is no picture of stacks")
        for path in (self.flamegraph, self.trace):
            if path:
                output_name(path, path, "", force=self.force)

    def write(self, done: Profiled) -> None:
        """Write what was asked for.

        Raises:
            NoStacks: there are no samples to draw.
        """
        if self.plot:
            from aitrade_cli.report.plot import save_plot
            from aitrade_cli.system.profiling.pictures import figure_of

            save_plot(self.plot, figure_of(done.report))
        if self.trace:
            from aitrade_cli.system.profiling.trace import chrome_trace

            data = chrome_trace(done.events, done.report.memory, done.torch_trace)
            write_output(self.trace, data, force=self.force)
        if self.flamegraph:
            write_output(self.flamegraph, self.drawn(done), force=self.force)

    def drawn(self, done: Profiled) -> bytes:
        """The flamegraph in the form that its ending asks for."""
        from aitrade_cli.system.profiling.flamegraph import flamegraph_page, flamegraph_svg
        from aitrade_cli.system.profiling.stacks import collapsed

        if done.stacks is None or done.speedscope is None:
            reason = next((c.reason for c in done.report.collectors if c.name == "py-spy"), "")
            raise NoStacks(f"no flamegraph: {reason or 'py-spy was not asked for'}")
        if self.flamegraph is not None and self.flamegraph.endswith(".json"):
            return done.speedscope
        draw = flamegraph_page if str(self.flamegraph).endswith(".html") else flamegraph_svg
        return draw(collapsed(done.stacks.main), done.report.target).encode()
