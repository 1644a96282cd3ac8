"""The Blind Cliffwalk is what the paper says, and its measure can tell two samplers apart."""

from __future__ import annotations

import numpy as np

from aitrade_cli.checks import replay_cliffwalk as check
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore


def test_every_sequence_is_there_once_and_one_of_them_is_rewarded() -> None:
    schema = Schema(
        (Field("obs", "float32", (1,)), Field("act", "int64"), Field("reward", "float32"))
    )
    store = check.filled(ReplayStore(schema, 2000))
    index = np.arange(store.total)
    index = index[store.sampleable(index)]
    assert len(store) == len(index) == 2 ** (check.STATES + 1) - 2
    batch = store.rows(index)
    rewarded = np.flatnonzero(np.asarray(batch["reward"]))
    assert len(rewarded) == 1
    assert np.asarray(batch["obs"])[rewarded[0], 0] == check.STATES - 1
    wrong = np.asarray(batch["act"]) == 1
    assert np.asarray(batch["terminated"])[wrong].all()


def test_priorities_get_there_sooner_and_take_little_room() -> None:
    assert check.times_sooner(2).min() > 1.0
    assert 0.0 < check.memory_of_priorities(1000, 64) < 0.1
