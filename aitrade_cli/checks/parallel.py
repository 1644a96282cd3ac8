"""Proof of S10: features over processes are the same, and are spread only where that pays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from aitrade_cli.checks.fixtures import fixtures_folder
from aitrade_cli.checks.result import Bound, Case, CheckResult
from aitrade_cli.checks.turns import seconds_of, take_turns
from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.market.features import DEFAULT_FEATURES
from aitrade_cli.market.parallel_features import feature_matrices
from aitrade_cli.system.parallel.pool import default_workers

LEAST_CHOSEN = 0.8  # of one process, the upper end: choosing must not cost what it may gain


def features_are_spread(quick: bool) -> CheckResult:
    """Features of many long instruments: one process, a process a core, and what the probe took."""
    rows, instruments, rounds = (40_000, 4, 3) if quick else (250_000, 16, 9)
    series = [long_bars(rows)] * instruments
    before = segments()
    chosen = feature_matrices(series, DEFAULT_FEATURES)
    ways = {
        "here": partial(feature_matrices, series, DEFAULT_FEATURES, workers=1),
        "spread": partial(feature_matrices, series, DEFAULT_FEATURES, probe=False),
        "chosen": partial(feature_matrices, series, DEFAULT_FEATURES),
    }
    alone, spread = ways["here"](), ways["spread"]()
    unlike = sum(
        int(np.count_nonzero(~((one == other) | (np.isnan(one) & np.isnan(other)))))
        for one, other in zip(alone.matrices, spread.matrices, strict=True)
    )
    turns = take_turns({name: partial(seconds_of, way) for name, way in ways.items()}, rounds)
    choice = turns.speed("chosen", "here")
    return CheckResult(
        turns.measured("chosen", "here"),
        (
            Bound("values that one process has otherwise", unlike, 0, "at_most", "values"),
            Bound("segments left", len(segments() - before), 0, "at_most", "segments"),
            Bound("the choice's speed", choice.interval.high, LEAST_CHOSEN, "at_least", "times"),
        ),
        f"{instruments} instruments of {rows:,} bars, {len(DEFAULT_FEATURES)} features,"
        f" {default_workers()} usable cores; {rounds} rounds in turn; the first start of workers"
        f" took {spread.report.start_seconds:.2f} s and is not in them; the probe chose"
        f" {chosen.report.way} ({chosen.report.reason}); {turns.control('here')}",
        (
            Case("spread", turns.speed("spread", "here").value, None, "whether it pays or not"),
            Case("chosen", choice.value, None, "with the probe"),
        ),
    )


def long_bars(rows: int) -> Bars:
    """Real bars one after another until there are enough, a minute apart."""
    bars = read_bars(fixtures_folder() / "bars" / "eurusd_1h.parquet")
    return Bars(
        np.arange(rows, dtype=np.int64) * 60 * 10**9,
        np.resize(bars.open, rows),
        np.resize(bars.high, rows),
        np.resize(bars.low, rows),
        np.resize(bars.close, rows),
        np.resize(bars.volume, rows),
        bars.symbol,
        bars.source_sha256,
    )


def segments() -> set[str]:
    """Shared memory that lies about; empty where the system shows none."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.glob("psm_*")} if folder.is_dir() else set()
