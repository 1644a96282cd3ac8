"""Bars to go on training an existing model with, and none of those that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import prepare, warmup_rows
from aitrade_cli.market.split import sample_of
from aitrade_cli.model.card import Card, Preprocessing, Sample
from aitrade_cli.model.series import Series
from aitrade_cli.training.history import bars_of, bars_step, plan_of, stride_of
from aitrade_cli.training.labels import (
    UNKNOWN,
    Band,
    classes_of,
    fit_band,
    forward_trend,
)
from aitrade_cli.training.loop import Examples
from aitrade_cli.training.walk import Plan

LEAST: Final = 128  # training windows; fewer teach nothing


class NotTrainable(BadInput):
    """The artefact does not say how bars become what its network takes."""

    default_hint = "wrap the model with PREPROCESSING beside its factory: `aitrade inspect --wrap`"


@dataclass(frozen=True, slots=True)
class Material:
    """What an existing model may be trained on, and where it stops.

    Attributes:
        training: learned from.
        validation: the latest decisions before the end; no bar of theirs, label included,
            is one that ``training`` touches.
        note: one sentence for the report.
        bars_sha256: of the file of bars.
        preprocessing: the artefact's own, unchanged.
        band: what counts as flat, from the training rows alone.
        trained_until_ns: the last bar that a label of either part reaches.
        held_out: the evaluation rows of `passes.sample`, labelled by the same band.
        stride: every how many training windows the model itself was trained on.
        bars: name of that file, as it was given or as the history has it.
        symbol: instrument that had to be chosen from it; None where it holds one.
    """

    training: Examples
    validation: Examples
    note: str
    bars_sha256: str
    preprocessing: Preprocessing
    band: Band
    trained_until_ns: int
    held_out: Examples
    stride: int = 1
    bars: str | None = None
    symbol: str | None = None

    def thinned(self, most: int | None) -> Material:
        """At most ``most`` training windows, evenly spread, still without a copy."""
        if most is None or len(self.training) <= most:
            return self
        every = -(-len(self.training) // max(1, most))
        kept = Examples(self.training.windows[::every], self.training.classes[::every])
        return replace(self, training=kept)


def material_of(
    card: Card, data: str | None, symbol: str | None = None, *, before_ns: int | None = None
) -> Material:
    """Cut training and validation windows from before everything the model is judged on.

    The last label ends before the first bar of the evidence (`market.split.sample_of`), so
    neither calibration nor the choice between candidates nor the evaluation sees a bar that was
    trained on. It also ends at ``card.trained_until_ns`` where that leaves enough: then training
    goes over the same bars again, and a sample inside the artefact stays unseen.

    Args:
        card: of the model; its preprocessing turns bars into windows.
        data: a file of bars; where not given, those that the history names.
        symbol: which instrument of them.
        before_ns: no bar from this time on either.

    Raises:
        NotTrainable: the card has no preprocessing.
        NoTrainingBars: no ``data``, and the bars of the history are not there or have changed.
        BadInput: bars that cannot be used, or too few.
    """
    preprocessing = card.preprocessing
    if preprocessing is None:
        raise NotTrainable("it cannot be trained on bars: the artefact records no preprocessing")
    told = bars_step(card)
    bars = bars_of(card, symbol) if data is None else read_bars(data, symbol)
    series = prepare(bars, preprocessing)
    window = preprocessing.window
    sample = card.sample if data is None and card.sample is not None else None
    if sample is None:
        source = (bars.symbol, bars.source_sha256)
        sample = sample_of(series, window, card.trained_until_ns, *source).sample
    plan = plan_of(card, preprocessing)
    trend = forward_trend(bars.close, plan.labelling)[warmup_rows(preprocessing.features) :]
    stop, seen_before = stop_row(card, series, sample, before_ns, plan)
    train, validation = parts_of(stop, plan)
    band = fit_band(trend[train.start : train.stop], flat_share=plan.flat_share)
    classes = classes_of(trend, band)
    judged = np.searchsorted(series.timestamp_ns, sample.evaluation.timestamp_ns[window - 1 :])
    held_out = range(int(judged[0]), min(int(judged[-1]) + 1, len(series)))
    training = examples_at(series, classes, train, window)
    later = examples_at(series, classes, validation, window)
    which = "that the model learned from" if seen_before else "before those it is judged on"
    return Material(
        training=training,
        validation=later,
        held_out=examples_at(series, classes, held_out, window),
        note=(
            f"{len(training):,} training and {len(later):,} validation windows of {bars.symbol},"
            f" bars {which}"
        ),
        bars_sha256=bars.source_sha256,
        preprocessing=preprocessing,
        band=band,
        trained_until_ns=int(series.timestamp_ns[stop - 1 + plan.labelling.horizon]),
        stride=stride_of(card),
        bars=told.get("bars") if data is None else data,
        symbol=symbol or (told.get("symbol") if data is None else None),
    )


def stop_row(
    card: Card, series: Series, sample: Sample, before_ns: int | None, plan: Plan
) -> tuple[int, bool]:
    """The row after the last decision to train on, and whether the model has seen all up to it.

    Raises:
        BadInput: fewer than 128 training windows would be left.
    """
    horizon, window = plan.labelling.horizon, plan.window
    first_ns = int(sample.series.timestamp_ns[0])
    end = int(np.searchsorted(series.timestamp_ns, min(first_ns, before_ns or first_ns)))
    known = 0
    if card.trained_until_ns is not None:
        known = int(np.searchsorted(series.timestamp_ns, card.trained_until_ns, side="right"))
    for rows in (min(end, known), end):
        if rows > horizon and len(parts_of(rows - horizon, plan)[0]) >= LEAST:
            return rows - horizon, rows <= known
    needed = round((LEAST + horizon + window) / (1 - plan.validation_share)) + window + horizon
    raise BadInput(
        f"`{end:,}` bars before those that the model is judged on are too few: {LEAST} training"
        f" windows, a gap and a validation slice need {needed:,}",
        hint="give more bars: `--data BARS`",
    )


def parts_of(stop: int, plan: Plan) -> tuple[range, range]:
    """Rows to learn from and rows that stop it, cut as `walk.examples_of` cuts a fold."""
    first = plan.window - 1
    validation_start = stop - max(1, round(plan.validation_share * (stop - first)))
    gap = plan.labelling.horizon + plan.window - 1
    return range(first, max(first, validation_start - gap)), range(validation_start, stop)


def examples_at(
    series: Series, classes: Int64[np.ndarray, " rows"], rows: Sequence[int], window: int
) -> Examples:
    """Windows that end at these rows; a view where every one of them has a label."""
    picked = np.asarray(rows, dtype=np.int64)  # an empty range would be of floats
    labelled = classes[picked] != UNKNOWN
    # Rows without a label lie at the ends of the bars, if anywhere: what is left is one stretch.
    known = picked[labelled]
    if len(known) and known[-1] - known[0] + 1 == len(known):
        view = series.windows(window)[known[0] - (window - 1) : known[-1] - (window - 1) + 1]
        return Examples(view, classes[known])
    return Examples(series.windows(window)[known - (window - 1)], classes[known])
