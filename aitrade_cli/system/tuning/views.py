"""How each report of `tune-system` looks on a screen of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.system.tuning.history import HistoryReport
from aitrade_cli.system.tuning.host_line import HostLine
from aitrade_cli.system.tuning.outcomes import Applied, Outcomes
from aitrade_cli.system.tuning.plan import Line, Plan
from aitrade_cli.system.tuning.proofs import Proof, Trial
from aitrade_cli.system.tuning.revert import RevertReport
from aitrade_cli.system.tuning.verify import VerifyReport
from aitrade_cli.units import DASH, bytes_text, count_text, ratio_text, seconds_text, share_text

DONE = frozenset(("applied", "already", "clamped"))


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What `--apply` prints: what was measured, what became of each line, what a child finds."""

    root: str
    purpose: str
    outcomes: Outcomes
    proof: Proof | None
    verified: VerifyReport | None
    environment_file: str
    undone: bool = False  # nobody confirmed in time

    JSON_PROPERTIES = ("exit_code",)

    @property
    def exit_code(self) -> int:
        """That of the outcomes, or 1 where it was undone or does not hold in a child."""
        if self.undone:
            return 1
        drift = self.verified is not None and not self.verified.passed
        return self.outcomes.exit_code or int(drift)


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def shown(value: str | None) -> str:
    return DASH if value is None else value


@view.register
def _(plan: Plan) -> Sequence[Block]:
    changes = plan.of("change")
    said = f"{plural(len(changes), 'setting')} would change; nothing was changed"
    blocks: list[Block] = [Verdict(said), host_facts(plan.host)]
    if changes:
        rows = [(c.key, shown(c.current), shown(c.wanted), c.verdict) for c in changes]
        columns = ("Setting", "now", "wanted", "class")
        blocks.append(Table(f"Would change, for {plan.purpose}", columns, rows, left=4))
        reasons = grouped((c.key, f"{c.why}. Worth: {c.worth}") for c in changes)
        blocks.append(Notes("Why, and what it is worth", reasons))
    blocks += [Notes(title, lines) for title, lines in rest(plan) if lines]
    root = "" if plan.root == "/" else f" --root {plan.root}"
    if changes:
        last = f"apply: aitrade tune-system{root} --apply; undo: aitrade tune-system{root} --revert"
        blocks.append(Notes("", (last,)))
    return blocks


def rest(plan: Plan) -> list[tuple[str, list[str]]]:
    """Every line that would not change, with its reason where a person may want it."""
    later = [one for one in plan.of("change", "already") if one.set_later_by]
    return [
        ("For you to do", [f"{one.key}: {one.why}. {one.advice}" for one in plan.of("advise")]),
        ("Not permitted here", [f"{one.key}: {one.why}" for one in plan.of("not permitted")]),
        ("Set back at the next boot", [f"{one.key}: by {one.set_later_by}" for one in later]),
        ("Never set: cargo cult", [f"{one.key}: {one.why}" for one in plan.of("never")]),
        ("As wanted", joined(plan.of("already"))),
        ("Another purpose's, or only for a measurement to ask for", joined(plan.of("not asked"))),
        ("Left as they are; `--json` says why", joined(plan.of("leave"))),
        ("Not on this host", joined(plan.of("absent"))),
    ]


def grouped(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """One line for all that have the same to say."""
    found: dict[str, list[str]] = {}
    for key, said in pairs:
        found.setdefault(said, []).append(key)
    return [f"{', '.join(keys)}: {said}" for said, keys in found.items()]


def joined(lines: Sequence[Line]) -> list[str]:
    return [", ".join(line.key for line in lines)] if lines else []


def host_facts(host: HostLine) -> Facts:
    cores = f"{host.cores_physical} real, {host.processors_usable} of {host.processors_online}"
    quota = "no quota" if host.quota_cores is None else f"quota of {host.quota_cores:g} cores"
    if host.throttled_share:
        quota += f", stopped in {share_text(host.throttled_share, 0)} of its periods"
    memory = bytes_text(host.memory_bytes)
    if host.memory_limit_bytes is not None:
        memory += f", limit {bytes_text(host.memory_limit_bytes)}"
    memory += f", {bytes_text(host.swap_bytes)} of swap" if host.swap_bytes else ", no swap"
    rows = [
        ("System", f"{host.system}, Linux {host.kernel}"),
        ("Processor", host.cpu),
        ("Cores", f"{cores} processors usable, {plural(host.memory_nodes, 'memory node')}"),
        ("CPU time", f"{quota}; threads worth starting: {host.cores_budget}"),
        ("Memory", memory),
        ("GPUs", ", ".join(host.gpus) or "none"),
        ("A process has", f"{host.openmp or 'no OpenMP'}, malloc of {host.allocator or 'unknown'}"),
    ]
    if host.closed:
        rows.append(("Closed to us", "; ".join(host.closed)))
    return Facts("This host", rows)


@view.register
def _(report: ApplyReport) -> Sequence[Block]:
    blocks: list[Block] = [Verdict(apply_words(report), good=report.exit_code == 0)]
    if report.proof:
        blocks += list(view(report.proof))
    lines = [one for one in report.outcomes.lines if one.outcome != "already"]
    if lines:
        rows = [(a.key, shown(a.before), shown(a.wanted), a.outcome) for a in lines]
        columns = ("Setting", "before", "wanted", "outcome")
        blocks.append(Table("Written", columns, rows, left=4))
    blocks.append(Notes("Not as asked", [told(one) for one in lines if one.detail]))
    if report.verified and report.verified.lines:
        blocks += list(view(report.verified))[1:]
    root = "" if report.root == "/" else f" --root {report.root}"
    hints = [f"undo: aitrade tune-system{root} --revert {report.outcomes.run_id}"]
    if any("." in one.key and one.key.startswith("env.") for one in lines):
        hints.append(f"use it: set -a; . {report.environment_file}; set +a; python train.py")
    if report.outcomes.run_id and not report.undone:
        blocks.append(Notes("", hints))
    return [one for one in blocks if not (isinstance(one, Notes) and not one.lines)]


def told(line: Applied) -> str:
    return f"{line.key}: {line.detail}"


def apply_words(report: ApplyReport) -> str:
    if report.undone:
        return "undone: nobody confirmed in time"
    written = sum(
        one.outcome in {"applied", "clamped", "not kept"} for one in report.outcomes.lines
    )
    unkept = sum(one.outcome == "not kept" for one in report.outcomes.lines)
    others = sum(one.outcome not in DONE for one in report.outcomes.lines) - unkept
    if report.outcomes.run_id is None and not others + unkept:
        return "nothing to do: the host is as wanted"
    said = f"{plural(written, 'setting')} applied"
    said += f", {unkept} of them until the next boot" if unkept else ""
    return f"{said}, {others} not" if others else said


@view.register
def _(proof: Proof) -> Sequence[Block]:
    rows = [trial_row(trial) for trial in proof.trials]
    columns = ("Arm", "wall", "CPU", "faults", "switches", "speed", "95 %", "verdict")
    notes = [
        f"{' '.join(proof.command)}: {proof.rounds} restarts an arm in random order, medians",
        f"noise up to {ratio_text(proof.band)}: what base against base gave; a gain lies beyond it",
        *proof.not_judged,
    ]
    if proof.taken_out:
        notes.insert(2, f"`as it is` runs without your shell's {', '.join(proof.taken_out)}")
    return (Table("Measured on the command", columns, rows), Notes("", notes))


def trial_row(trial: Trial) -> tuple[str, ...]:
    speed = trial.speed
    return (
        trial.name,
        seconds_text(trial.wall_seconds),
        seconds_text(trial.cpu_seconds),
        count_text(round(trial.minor_faults)),
        count_text(round(trial.switches)),
        ratio_text(speed.ratio if speed else None),
        f"{speed.low:.2f}-{speed.high:.2f}" if speed else DASH,
        DASH if speed is None else speed.standing,
    )


@view.register
def _(report: VerifyReport) -> Sequence[Block]:
    bad = [one for one in report.lines if one.standing in {"drift", "set back later"}]
    said = "as wanted" if report.passed else f"drift in {plural(len(bad), 'setting')}"
    if report.waiting and not bad:
        said = "a run waits"
    rows = [(one.key, shown(one.wanted), shown(one.found), one.standing) for one in report.lines]
    blocks: list[Block] = [Verdict(said, good=report.passed)]
    if rows:
        columns = ("Setting", "wanted", "found", "stands")
        blocks.append(Table("As a new process finds it", columns, rows, left=4))
    details = grouped((one.key, one.detail) for one in report.lines if one.detail)
    if details:
        blocks.append(Notes("", details))
    notes = list(report.waiting)
    if not report.run_ids:
        notes.append("no run is in force here: held against the plan")
    if notes:
        blocks.append(Notes("Runs", notes))
    return blocks


@view.register
def _(report: RevertReport) -> Sequence[Block]:
    if not report.run_ids:
        return (Verdict("nothing to undo"),)
    restored = sum(one.outcome == "restored" for one in report.lines)
    others = [one for one in report.lines if one.outcome in {"left alone", "failed"}]
    said = f"{', '.join(report.run_ids)} undone: {plural(restored, 'place')} restored"
    said += f", {len(others)} not" if others else ""
    rows = [(one.place, shown(one.now), one.outcome) for one in report.lines]
    blocks: list[Block] = [
        Verdict(said, good=report.passed),
        Table("Undone, the newest write first", ("Place", "now", "outcome"), rows, left=3),
    ]
    if others:
        lines = [f"{one.place}: {one.outcome}, {one.detail}" for one in others]
        if any(one.outcome == "failed" for one in others):
            lines.append("what failed can be tried again: say `--revert` once more")
        blocks.append(Notes("Not as before", lines))
    return blocks


@view.register
def _(report: HistoryReport) -> Sequence[Block]:
    if not report.runs:
        return (Verdict("no run has changed this host"),)
    inside = sum(run.state != "undone" for run in report.runs)
    rows = [
        (run.run_id, shown(run.purpose), run.state, str(run.writes), str(run.failed))
        for run in report.runs
    ]
    blocks: list[Block] = [
        Verdict(f"{plural(len(report.runs), 'run')}, {inside} in force"),
        Table("Runs", ("Run", "purpose", "state", "writes", "failed"), rows, left=3),
    ]
    gone = [run.run_id for run in report.runs if not run.same_boot and run.state != "undone"]
    if gone:
        said = "before the last boot: kernel values last only through files"
        blocks.append(Notes("", [f"{', '.join(gone)}: {said}"]))
    return blocks
