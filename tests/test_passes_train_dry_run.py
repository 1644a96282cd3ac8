"""`aitrade train --dry-run` tells of the run that would start, and stops where it would."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.errors import Usage
from aitrade_cli.passes.train import devices, dry_run
from aitrade_cli.passes.train.dry_run import DryRun
from aitrade_cli.passes.train.run import train_here as train
from aitrade_cli.training.legality import NotTogether
from aitrade_cli.training.loading import LoaderSettings
from aitrade_cli.training.loading_choice import find_settings
from tests.test_passes_train_tuning import asked


@pytest.fixture(autouse=True)
def _two_devices_and_a_short_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices_here", lambda _: 2)
    race = partial(find_settings, among=(LoaderSettings(),))
    monkeypatch.setattr(dry_run, "find_settings", race)


def told(base: str | None = None, **details: Any) -> DryRun:
    return dry_run.dry_run(asked(base, **details))


def test_a_plain_run_holds_what_one_process_does() -> None:
    plain = told()
    assert plain.memory_bytes["weights"] == plain.memory_bytes["gradients"] == 4 * plain.parameters
    assert plain.memory_bytes["moments"] == 8 * plain.parameters
    assert (plain.processes, plain.trained) == (1, plain.parameters)
    assert "one process" in plain.stages
    assert plain.workers == 0


@pytest.mark.parametrize(
    ("shard", "weights", "moments"), [("none", 4, 8), ("optimizer", 4, 4), ("full", 2, 4)]
)
def test_each_of_two_processes_holds_its_share(shard: str, weights: int, moments: int) -> None:
    both = told(spread__devices=2, spread__shard=shard, training__workers=2)
    assert both.processes == 2
    assert both.memory_bytes["weights"] == weights * both.parameters
    assert both.memory_bytes["moments"] == moments * both.parameters
    assert any(stage.startswith("2 processes") for stage in both.stages)
    assert both.workers == 2


def test_what_is_shared_out_is_measured_outside_of_a_group() -> None:
    both = told(spread__devices=2, spread__shard="optimizer", training__batch=0)
    assert both.found_batch is not None
    assert both.batch == both.found_batch.batch


def test_adapters_and_their_few_moments_are_told(tmp_path: Path) -> None:
    base = tmp_path / "base.pt"
    base.write_bytes(train(asked(training__epochs=1), base.name).data)
    tuned = told(str(base), training__lora="r=2")
    assert 0 < tuned.trained < tuned.parameters
    assert tuned.memory_bytes["gradients"] == 4 * tuned.trained
    assert tuned.memory_bytes["moments"] == 8 * tuned.trained
    assert tuned.stages[0].startswith("adapters, r=2")
    with pytest.raises(NotTogether, match="`lora` and `ddp` together"):
        told(str(base), training__lora="r=2", spread__devices=2)


def test_processes_that_do_not_wait_keep_no_moments() -> None:
    wild = told(training__hogwild=2)
    assert wild.memory_bytes["moments"] == 0
    assert "2 processes that do not wait" in wild.stages


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"training__hogwild": 2, "training__amp": "bf16"}, "`hogwild` and `bf16` together"),
        ({"training__hogwild": 2, "training__workers": 1}, "`hogwild` and `workers` together"),
        ({"training__hogwild": 2, "spread__devices": 2}, "`hogwild` and `ddp` together"),
        ({"training__lora": "r=2"}, "trained before"),
    ],
)
def test_what_would_stop_the_run_stops_its_telling(details: dict[str, Any], reason: str) -> None:
    with pytest.raises(Usage, match=reason):
        told(**details)


def test_workers_that_were_asked_to_be_found_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "aitrade_cli.training.feeding.grid", lambda **_: (LoaderSettings(), LoaderSettings(1))
    )
    found = told(training__workers=-1)
    assert found.workers in {0, 1}
    assert "found by training steps" in found.notes[-1]
