"""A profile on the screen: the verdict, the findings with their fixes, then the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.system.profiling.report import Finding, MemoryUse, ProfileReport
from aitrade_cli.units import bytes_text, ratio_text, seconds_text, share_text

DASH: Final = "—"


@view.register
def _(report: ProfileReport) -> Sequence[Block]:
    return tuple(blocks_of(report))


def blocks_of(report: ProfileReport) -> Iterator[Block]:
    ended = " (interrupted: what was seen until then)" if report.interrupted else ""
    yield Verdict(report.verdict + ended)
    if report.health.sick:
        yield Notes("The host first: what is below may be off", report.health.warnings)
    if report.findings:
        yield findings_table(report.findings)
        yield from fixes(report.findings)
    if report.unconfirmed:
        yield Notes("Tried, and no better than the noise", tuple(map(lost, report.unconfirmed)))
    if report.untried:
        told = [f"{one.kind.replace('_', ' ')}, {one.place}: {one.what}" for one in report.untried]
        yield Notes("Not decided, so no fix is given", told)
    yield run_facts(report)
    yield Table(
        "Where the time goes", ("Phase", "Time", "Share", "Calls"),
        [(one.name, seconds_text(one.seconds), share_text(one.share), f"{one.calls:,}")
         for one in report.phases],
    )  # fmt: skip
    if report.lines:
        yield Table(
            "Lines of your code", ("Line", "Function", "With calls", "Alone"),
            [(one.place, one.function, share_text(one.share), share_text(one.own_share))
             for one in report.lines], left=2,
        )  # fmt: skip
    if report.memory is not None and report.memory.by_line:
        yield memory_table(report.memory)
    yield collectors_table(report)
    if report.against is not None:
        yield against_facts(report)
    if report.notes:
        yield Notes("", report.notes)


def findings_table(findings: Sequence[Finding]) -> Table:
    """The ranked list, one line each."""
    rows = []
    for number, one in enumerate(findings, start=1):
        gain = f"{one.gain_low:.2f} to {one.gain_high:.2f}x"
        if one.trial is not None:
            gain = f"{ratio_text(one.trial.gain)} measured"
        what = one.kind.replace("_", " ")
        share = share_text(one.share) + (" of memory" if one.resource == "memory" else "")
        rows.append((f"{number}", f"{what}, {one.place}", share, gain, one.confidence))
    return Table("What to change", ("", "What and where", "Share", "Gain", "Sure"), rows, left=2)


def fixes(findings: Sequence[Finding]) -> Iterator[Block]:
    """Each finding in a sentence, and its fix as it can be pasted."""
    for number, one in enumerate(findings, start=1):
        lines = [f"{one.what} ({share_text(one.share)})"]
        if one.fix.kind == "source":
            lines += ["apply with `patch -p0`:", one.fix.text.rstrip()]
        else:
            lines.append(one.fix.text)
        if one.fix.caution:
            lines.append(f"mind: {one.fix.caution}")
        if one.trial is not None:
            lines.append(measured(one))
        yield Notes(f"{number}. {one.kind.replace('_', ' ')}", lines)


def measured(one: Finding) -> str:
    trial = one.trial
    assert trial is not None
    inside = "within" if trial.inside else "outside"
    what = "peak memory" if one.resource == "memory" else "wall time"
    luck = ""
    if trial.gain <= trial.same_twice:
        luck = f", luck alone does as well in {share_text(trial.chance, 2)} of cases"
    return (
        f"measured {ratio_text(trial.gain)} of {what} in {trial.rounds} rounds"
        f" ({trial.gain_low:.2f} to {trial.gain_high:.2f}); twice unfixed differed by up to"
        f" {ratio_text(trial.same_twice)}{luck}; predicted {one.gain_low:.2f} to"
        f" {one.gain_high:.2f}, {inside}; what it prints: {trial.output}"
    )


def lost(one: Finding) -> str:
    trial = one.trial
    assert trial is not None
    what = f"{one.kind.replace('_', ' ')}, {one.place}"
    if trial.failed:
        return f"{what}: with the fix it ended with {trial.failed}"
    return (
        f"{what}: {ratio_text(trial.gain)} ({trial.gain_low:.2f} to {trial.gain_high:.2f})"
        f" in {trial.rounds} rounds, twice unfixed differed by up to {ratio_text(trial.same_twice)}"
    )


def run_facts(report: ProfileReport) -> Facts:
    how = "measured" if report.overhead_measured else "at least: waiting is not counted"
    rows = [
        ("Program", report.target),
        ("Wall time", seconds_text(report.wall_seconds)),
        ("CPU time", seconds_text(report.cpu_seconds)),
        ("Cost of watching", f"{share_text(report.overhead_share)}, {how}"),
    ]
    if report.plain_seconds is not None:
        rows.insert(2, ("Unwatched", seconds_text(report.plain_seconds)))
    memory = report.memory
    if memory is not None:
        rows.append(("Peak memory", bytes_text(memory.peak_bytes)))
        if memory.growth_bytes_per_s is not None:
            growth = f"{memory.growth_bytes_per_s / 1e6:.1f} MB/s in the second half"
            rows.append(("Growth", growth))
    return Facts("The run", rows)


def memory_table(memory: MemoryUse) -> Table:
    rows = [(place, bytes_text(size)) for place, size in memory.by_line]
    return Table("Memory at the peak, by line", ("Line", "Held"), rows)


def collectors_table(report: ProfileReport) -> Table:
    rows = [
        (
            one.name,
            one.status + (f": {one.reason}" if one.reason else ""),
            one.hot_line or DASH,
            share_text(one.share) if one.share is not None else DASH,
        )
        for one in report.collectors
    ]
    return Table("Watched by", ("Collector", "State", "Hottest line", "Share"), rows, left=3)


def against_facts(report: ProfileReport) -> Facts:
    against = report.against
    assert against is not None
    rows = [
        ("Wall time", f"{ratio_text(against.wall_ratio)} of the baseline's"),
        ("Peak memory", f"{ratio_text(against.peak_memory_ratio)} of the baseline's"),
        ("Allowed", f"{1 + against.tolerance:.2f}x"),
        ("Findings that are new", ", ".join(against.new_findings) or DASH),
        ("Findings that are gone", ", ".join(against.gone_findings) or DASH),
    ]
    return Facts("Against the baseline", rows)
