"""How a network does on bars that its training never touched; asked once, at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from torch import nn

from aitrade_cli.fidelity.bootstrap import mean_block_length, stationary_rows
from aitrade_cli.market.backtest import Backtest, Costs, backtest
from aitrade_cli.market.bars import Bars
from aitrade_cli.market.deflated import Deflated, deflate, moments_of
from aitrade_cli.market.metrics import measure, periods_per_year
from aitrade_cli.market.split import sample_of
from aitrade_cli.model.architectures import FIXED_TIME
from aitrade_cli.model.card import Arch, Card, Decision, Step, TensorSpec
from aitrade_cli.training.loop import cross_entropy, logits_of
from aitrade_cli.training.state import Epoch
from aitrade_cli.training.trading import TradedLabels, returns_of
from aitrade_cli.training.walk import FoldExamples

SAMPLE_WINDOWS: Final = (512, 1200)  # calibration, evaluation
RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures of the untouched test part, plain data for the history, and the equity curve."""

    figures: dict[str, Any]
    equity: Float64[np.ndarray, " n"]


def judge(network: nn.Module, parts: FoldExamples, costs: Costs) -> Judged:
    """Trade the test part once.

    Args:
        network: trained on ``parts``; not on its test rows.
        parts: of one fold.
        costs: of trading.
    """
    bars, test = parts.test_series, parts.test
    logits = logits_of(network, parts.windows_at(parts.test_rows))
    position = Decision().positions_of(logits)
    run = backtest(position, bars.open_price, costs)
    labelled = logits_of(network, test.windows) if len(test) != len(logits) else logits
    per_year = periods_per_year(bars.timestamp_ns)
    metrics = measure(run, per_year)
    low, high = sharpe_interval(run, per_year)
    figures = {
        "windows": len(test),
        "loss": cross_entropy(labelled, test.classes),
        "accuracy": float((labelled.argmax(axis=1) == test.classes).mean()),
        "accuracy_of_most_frequent": float(np.bincount(test.classes).max() / len(test)),
        "accuracy_of_known_part": float((parts.known == test.classes).mean()),
        "short_share": float((position < 0).mean()),
        "flat_share": float((position == 0).mean()),
        "long_share": float((position > 0).mean()),
        "total_return": metrics.total_return,
        "sharpe": metrics.sharpe,
        "sharpe_low": low,
        "sharpe_high": high,
        "max_drawdown": metrics.max_drawdown,
        "turnover_per_year": metrics.turnover,
        "trades": metrics.trades,
        "cost_bps_per_side": costs.fee_bps + costs.slippage_bps,
    }
    return Judged(figures, run.equity)


def sharpe_interval(run: Backtest, per_year: float) -> tuple[float | None, float | None]:
    """95 % interval of the annualized Sharpe ratio after costs, by stationary bootstrap.

    None where the returns do not vary, as those of a network that never trades.
    """
    if len(run) < 2 or float(run.net_return.std()) <= 1e-14:
        return None, None
    block = mean_block_length(run.net_return)
    draws: list[Float64[np.ndarray, " resample"]] = []
    for rows in stationary_rows(len(run), mean_block=block, resamples=RESAMPLES, seed=0):
        drawn = run.net_return[rows]
        deviation = np.maximum(drawn.std(axis=1, ddof=1), 1e-14)
        draws.append(drawn.mean(axis=1) / deviation * np.sqrt(per_year))
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return float(low), float(high)


def deflated_of(
    network: nn.Module, objective: TradedLabels, epochs: Sequence[Epoch]
) -> Deflated | None:
    """The chosen epoch's validation Sharpe ratio against the luck of the best of all epochs.

    None where the decisions earn nothing that varies.
    """
    told = moments_of(returns_of(objective, network))
    if told is None:
        return None
    yearly = np.sqrt(objective.per_year)
    known = [one.figures.get("sharpe") for one in epochs]
    looks = [float(one / yearly) for one in known if one is not None]
    return deflate(told, looks or [told.sharpe])


def card_of(
    arch: Arch, parts: FoldExamples, bars: Bars, step: Step, until_ns: int | None = None
) -> Card:
    """Everything that later commands need: sample, preprocessing, decision, history.

    Args:
        arch: of the network.
        parts: the fold that it was trained on.
        bars: of that fold.
        step: of the history.
        until_ns: last bar that was learned from, where that is later than the fold's own.
    """
    until = parts.trained_until_ns if until_ns is None else until_ns
    window, features = parts.preprocessing.window, len(parts.preprocessing.features)
    source = (bars.symbol, bars.source_sha256)
    choice = sample_of(parts.series, window, until, *source, *SAMPLE_WINDOWS)
    time = window if arch.name in FIXED_TIME else "time"
    return Card(
        inputs=(TensorSpec("window", ("batch", time, features)),),
        outputs=(TensorSpec("logits", ("batch", 3)),),
        arch=arch,
        preprocessing=parts.preprocessing,
        decision=Decision(),
        sample=choice.sample,
        history=(step,),
        trained_until_ns=until,
    )
