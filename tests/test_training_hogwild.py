"""Several processes on one network: who is refused, whose updates count, and what ends it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.training.hogwild import (
    CannotRunWild,
    HogwildFit,
    HogwildSettings,
    Pace,
    refuse_unsharable,
    run_wild,
)
from aitrade_cli.training.hogwild_objectives import SharedLabels
from aitrade_cli.training.hogwild_workers import Progress, WorkerDied, rows_of
from aitrade_cli.training.loading import SharedWindows
from aitrade_cli.training.loop import Examples, Labels
from aitrade_cli.training.lora import LoraSettings, adapt
from aitrade_cli.training.run import Epoch, Fit
from tests.hogwild_cases import WORDS, Killed, Meeting, Planted, Words, embedding, value_of

ENDLESS = 1_000_000  # passes; nobody waits for them


def settings_for(workers: int, **details: int) -> HogwildSettings:
    usual = HogwildSettings(
        workers, 3, 4, learning_rate=1.0, clip_norm=None, patience=ENDLESS, alone_seconds=0.0
    )
    return replace(usual, **details)


def test_one_process_does_what_plain_descent_does() -> None:
    network, by_hand = embedding(), embedding()
    problem = Words()
    found = run_wild(network, problem, settings_for(1, epochs=1))
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=1.0)
    for number in range(len(problem) // 4):
        optimizer.zero_grad()
        problem.loss(by_hand, rows_of(number, len(problem), 4, 0).numpy()).backward()
        optimizer.step()
    torch.testing.assert_close(network.state_dict(), by_hand.state_dict())
    assert found.updates == (len(problem) // 4,)
    assert found.speedup is None
    assert found.fit.best.validation_loss == problem.validation_loss(by_hand)


def test_no_update_of_any_process_is_lost() -> None:
    network, problem = embedding(), Meeting()
    found = run_wild(network, problem, settings_for(2, epochs=1))
    assert min(found.updates) > 0
    assert sum(found.updates) == WORDS // 4
    # Each word is in one batch of four, so each moved once, by 2/4 of its distance from zero.
    torch.testing.assert_close(network.weight[:, 0], value_of(torch.arange(WORDS)) / 2)
    assert active_children() == []


def test_a_failure_in_a_process_ends_the_run_with_its_traceback() -> None:
    with pytest.raises(WorkerDied, match="ValueError: planted") as found:
        run_wild(embedding(), Planted(), settings_for(2, epochs=ENDLESS))
    assert "hogwild_cases.py" in found.value.hint
    assert active_children() == []


def test_a_killed_process_ends_the_run() -> None:
    with pytest.raises(WorkerDied, match="signal 9"):
        run_wild(embedding(), Killed(), settings_for(2, epochs=ENDLESS))
    assert active_children() == []


def test_running_figures_are_refused() -> None:
    with pytest.raises(CannotRunWild, match=r"`1\.running_mean`"):
        refuse_unsharable(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


def test_adapters_are_refused() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    adapt(network, LoraSettings(rank=1))
    with pytest.raises(CannotRunWild, match="computed from others"):
        refuse_unsharable(network)


@pytest.mark.parametrize(
    "bad", [{"workers": 0}, {"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"patience": 0}]
)
def test_settings_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        HogwildSettings(**bad)


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    network = embedding()
    nn.init.constant_(network.weight, torch.nan)
    with pytest.raises(BadInput, match="epoch 1 is not finite"):
        run_wild(network, Words(), settings_for(1))


def test_the_run_ends_where_nothing_gets_better() -> None:
    found = run_wild(embedding(), Words(), settings_for(1, epochs=500, patience=2))
    assert len(found.fit.epochs) < 500
    assert found.fit.best.number <= len(found.fit.epochs) - 2


@given(rows=st.integers(1, 60), batch=st.integers(1, 20), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_each_pass_visits_each_row_once_in_another_order(rows: int, batch: int, seed: int) -> None:
    batches = -(-rows // batch)
    passes = [
        torch.cat([rows_of(epoch * batches + k, rows, batch, seed) for k in range(batches)])
        for epoch in range(2)
    ]
    assert all(sorted(one.tolist()) == list(range(rows)) for one in passes)
    if rows > 12:
        assert not passes[0].equal(passes[1])


def test_batches_are_taken_once_and_none_after_the_end() -> None:
    progress = Progress.start(2)
    assert [progress.take(2), progress.take(2), progress.take(2)] == [0, 1, None]
    other = Progress.start(1)
    other.stop()
    assert other.take(2) is None


def made(alone: float | None, together: float | None, count: int = 2) -> HogwildFit:
    return HogwildFit(Fit((Epoch(1, 1.0, 1.0, True),)), (1,) * count, 1.0, alone, together)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (made(100.0, 180.0), "2 processes made 1.80x the updates of one alone"),
        (made(100.0, 90.0), "0.90x the updates of one alone: not faster here, leave"),
        (made(None, 90.0), "too short a run to tell whether 2 processes"),
        (made(90.0, None, 1), "nothing to race with"),
    ],
)
def test_the_report_says_whether_it_was_worth_it(found: HogwildFit, said: str) -> None:
    assert said in found.verdict


def ticking() -> Iterator[float]:
    return (0.1 * tick for tick in count())


def test_pace_tells_alone_from_together_and_leaves_pauses_out() -> None:
    clock = ticking()
    pace, progress = Pace(lambda: next(clock)), Progress.start(2)
    alone = ((0, 0), (10, 0), (20, 0), (30, 0))
    after = ((31, 0), (32, 0), (33, 5), (43, 15), (53, 25), (63, 35))
    for updates in (*alone, *after):
        progress.by_worker.copy_(torch.tensor(updates))
        pace.saw(progress, alone=updates in alone)
    pace.pause()
    progress.by_worker.copy_(torch.tensor((1000, 1000)))
    pace.saw(progress, alone=False)
    assert pace.rate("alone") == pytest.approx(100.0)
    assert pace.rate("together") == pytest.approx(200.0)


def planted_examples() -> tuple[Examples, Examples]:
    draw = np.random.default_rng(0)
    windows = draw.standard_normal((60, 8, 3)).astype(np.float32)
    examples = Examples(windows, draw.integers(0, 3, 60))
    return Examples(windows[:40], examples.classes[:40]), Examples(
        windows[40:], examples.classes[40:]
    )


def test_shared_labels_are_the_labels() -> None:
    training, validation = planted_examples()
    network = nn.Sequential(nn.Flatten(), nn.Linear(24, 3))
    plain = Labels(training, validation)
    shared = SharedLabels(SharedWindows.of(training), validation)
    rows = np.array([3, 1, 30])
    assert len(shared) == len(plain)
    torch.testing.assert_close(shared.loss(network, rows), plain.loss(network, rows))
    assert shared.validation_loss(network) == plain.validation_loss(network)


def test_validation_windows_do_not_travel() -> None:
    training, validation = planted_examples()
    shared = SharedLabels(SharedWindows.of(training), validation)
    assert shared.__getstate__()["validation"] is None
    assert shared.validation is validation
    assert pickle.dumps(shared.helper)
