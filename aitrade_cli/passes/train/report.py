"""What `train` made: how it went, and what it is worth on bars that it never touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from aitrade_cli.market.deflated import Deflated
from aitrade_cli.passes.train.leaks import LeakCheck
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.training.batch_size import BatchChoice
from aitrade_cli.training.precision_choice import PrecisionChoice
from aitrade_cli.training.state import Epoch
from aitrade_cli.units import bytes_text, share_text

SHOWN: Final = 8  # epochs on screen; all are in JSON and in the run's folder


@dataclass(frozen=True, slots=True)
class TrainReport:
    """A whole run.

    Attributes:
        epochs: of the last fold, the one that was kept.
        limits_held: whether the kept weights hold every limit of ``early_stop``.
        test: figures of the untouched test part, asked for once, after training.
        walk_forward: the same of the earlier folds, each trained from where the last one began:
            from scratch, or from the base model where it leaves their test parts untouched.
        validation: the kept epoch's Sharpe ratio against the luck of so many looks.
        precision: what products were computed in; ``batch``: where the size was found.
        resumed_at: steps that were taken before this process took the run up.
        seconds: of the last fold's training in this process, validation included;
            ``windows_per_s``: learned from in that time.
    """

    output: str
    arch: str
    parameters: int
    trained: int  # parameters that were changed
    symbol: str
    training_windows: int
    validation_windows: int
    epochs: tuple[Epoch, ...]
    best_epoch: int
    steps: int
    skipped: int
    stopped: str
    limits_held: bool
    test: Mapping[str, Any]
    walk_forward: tuple[Mapping[str, Any], ...]
    validation: Deflated | None
    leaks: LeakCheck | None
    precision: PrecisionChoice
    batch: BatchChoice | None
    device: str
    threads: int
    resumed_at: int
    seconds: float
    windows_per_s: float
    file_bytes: int
    run_dir: str | None
    notes: tuple[str, ...]

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("passed", "edge")

    @property
    def passed(self) -> bool:
        """Whether every limit is held and shuffled labels gave no edge."""
        return self.limits_held and not (self.leaks is not None and self.leaks.edge)

    @property
    def edge(self) -> str:
        """What the test part says of the decisions, in words."""
        low, high = self.test["sharpe_low"], self.test["sharpe_high"]
        if low is None or high is None:
            return "never trades"
        return "no edge" if low <= 0 <= high else "loses" if high < 0 else "above zero"


@view.register
def _(report: TrainReport) -> Sequence[Block]:
    return (
        verdict_of(report),
        test_facts(report),
        run_facts(report),
        epochs_table(report.epochs),
        Notes("Notes", (*told_by(report), *report.notes)),
    )


def verdict_of(report: TrainReport) -> Verdict:
    if report.leaks is not None and report.leaks.edge:
        return Verdict("shuffled labels gave an edge: something of the future leaks in", good=False)
    if not report.limits_held:
        return Verdict("no epoch held the limits of `early_stop`; the best was kept", good=False)
    return Verdict(f"trained; on the untouched test part: {report.edge}", good=None)


def test_facts(report: TrainReport) -> Facts:
    told = report.test
    sides = " / ".join(share_text(told[f"{side}_share"]) for side in ("short", "flat", "long"))
    rows = [
        ("Decisions", f"{told['windows']:,}, looked at once"),
        ("Loss", f"{told['loss']:.4f}"),
        (
            "Accuracy",
            f"{share_text(told['accuracy'])} (most frequent class"
            f" {share_text(told['accuracy_of_most_frequent'])})",
        ),
        ("Sharpe", sharpe_text(told)),
        ("Max. drawdown", number(told["max_drawdown"], "{:.1%}")),
        ("Total return", number(told["total_return"], "{:.1%}")),
        ("Short / flat / long", sides),
        ("Trades", f"{told['trades']:,} at {told['cost_bps_per_side']:g} bps a side"),
    ]
    for fold, earlier in enumerate(report.walk_forward, start=1):
        rows.append((f"Sharpe, fold {fold}", sharpe_text(earlier)))
    return Facts("Untouched test part", rows)


def sharpe_text(told: Mapping[str, Any]) -> str:
    if told["sharpe"] is None or told["sharpe_low"] is None:
        return "not defined: the decisions earn nothing"
    low, high = told["sharpe_low"], told["sharpe_high"]
    return f"{told['sharpe']:.2f} (95 %: {low:.2f} to {high:.2f})"


def number(value: float | None, form: str) -> str:
    return "not defined" if value is None else form.format(value)


def run_facts(report: TrainReport) -> Facts:
    trained = "" if report.trained == report.parameters else f", {report.trained:,} of them trained"
    windows = f"{report.training_windows:,} to learn from, {report.validation_windows:,} to stop by"
    steps = f"{report.steps:,}" + (f", {report.skipped:,} skipped" if report.skipped else "")
    rows = [
        ("Network", f"{report.arch}, {report.parameters:,} parameters{trained}"),
        ("Windows", f"{windows}, of {report.symbol or 'one symbol'}"),
        ("Kept", f"epoch {report.best_epoch} of {len(report.epochs)}"),
        ("Steps", steps),
        ("Products in", f"{report.precision.precision}: {report.precision.why}"),
        ("Took", took_text(report)),
        ("Written", f"{report.output}, {bytes_text(report.file_bytes)}"),
    ]
    if report.batch is not None:
        found = f"{report.batch.batch}, found; {report.batch.largest:,} would fit"
        rows.insert(4, ("Batch", found))
    if report.run_dir is not None:
        rows.append(("Run folder", report.run_dir))
    return Facts("Run", rows)


def took_text(report: TrainReport) -> str:
    """Time and speed of this process' own steps."""
    if report.resumed_at >= report.steps > 0:
        return f"nothing: the run was over after step {report.steps:,}"
    since = f", from step {report.resumed_at:,} on" if report.resumed_at else ""
    return (
        f"{report.seconds:.1f} s, {report.windows_per_s:,.0f} windows/s, {report.device},"
        f" {report.threads} thread{'s' * (report.threads > 1)}{since}"
    )


def epochs_table(epochs: Sequence[Epoch]) -> Table:
    """The best epochs and the last ones, in order."""
    shown = list(epochs)
    if len(shown) > SHOWN:
        kept = [one for one in epochs if one.best][-SHOWN // 2 :]
        shown = sorted({*(one.number for one in kept), *range(len(epochs) - 3, len(epochs) + 1)})
        shown = [epochs[number - 1] for number in shown]
    rows = [
        (
            f"{one.number}{' *' if one.best else ''}",
            f"{one.training_loss:.4f}",
            f"{one.validation_loss:.4f}",
            number(one.figures.get("accuracy"), "{:.1%}"),
            number(one.figures.get("sharpe"), "{:.2f}"),
            number(one.figures.get("drawdown"), "{:.1%}"),
        )
        for one in shown
    ]
    heads = ("Epoch", "Loss", "Validation", "Accuracy", "Sharpe", "Drawdown")
    return Table("Epochs (* best so far; figures on validation bars)", heads, rows)


def told_by(report: TrainReport) -> list[str]:
    lines = []
    if report.stopped:
        lines.append(f"stopped early: {report.stopped}")
    if report.validation is not None:
        told = report.validation
        word = "rules out" if told.accepted else "does not rule out"
        lines.append(
            f"validation Sharpe was looked at {told.looks} times; its deflated probability of"
            f" {told.probability:.2f} {word} luck at 95 %"
        )
    if report.leaks is not None:
        found = "" if report.leaks.edge else "no leak: "
        lines.append(
            f"{found}{report.leaks.windows:,} windows and labels stay the same in another future"
        )
        if report.leaks.shuffled_accuracy is not None and report.leaks.chance is not None:
            lines.append(
                f"trained on shuffled labels it is right in {report.leaks.shuffled_accuracy:.1%};"
                f" chance may reach {report.leaks.chance:.1%}"
            )
    return lines
