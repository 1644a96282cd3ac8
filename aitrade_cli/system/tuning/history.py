"""Which runs changed this host, and which of them are still in force."""

from __future__ import annotations

from dataclasses import dataclass

from aitrade_cli.system.tuning.dropins import Places
from aitrade_cli.system.tuning.journal import Run, read_runs
from aitrade_cli.system.tuning.tree import Tree


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run of `--apply`."""

    run_id: str
    at: str | None
    purpose: str | None
    user: int | None
    version: str | None
    state: str  # in force, undone, cut off, unconfirmed
    writes: int
    failed: int
    left_alone: int  # writes that were not undone, because somebody changed them since
    same_boot: bool  # kernel values of an earlier boot are gone


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """What `--history` prints; the newest run last."""

    root: str
    runs: tuple[RunLine, ...]


def history(tree: Tree, places: Places) -> HistoryReport:
    """Read every journal of a host.

    Raises:
        JournalUnreadable: a line is not what this version writes.
    """
    boot_id = tree.text("/proc/sys/kernel/random/boot_id") or ""
    runs = read_runs(tree, places)
    return HistoryReport(str(tree.root), tuple(run_line(run, boot_id) for run in runs))


def run_line(run: Run, boot_id: str) -> RunLine:
    results = [line["outcome"] for line in run.done.values()]
    return RunLine(
        run.id,
        run.begin.get("at"),
        run.begin.get("purpose"),
        run.begin.get("user"),
        run.begin.get("version"),
        run.state,
        len(run.changes),
        sum(outcome in {"failed", "not permitted"} for outcome in results),
        sum(outcome == "left alone" for outcome in run.undone.values()),
        run.begin.get("boot_id", "") == boot_id,
    )
