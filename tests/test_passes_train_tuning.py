"""LoRA and HOGWILD in `aitrade train`: what comes out, what is told, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from aitrade_cli.errors import Usage
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.passes.train.run import train_here as train
from aitrade_cli.passes.train.settings import Settings, settings_of
from aitrade_cli.training.legality import NotTogether
from aitrade_cli.training.lora import BadLora
from tests.shell import ROOT

FLAGS = {
    "arch": "mlp",
    "data": str(ROOT / "fixtures/bars/nasdaq_1d.parquet"),
    "split.stride": 16,
    "split.test_rows": 128,
    "split.window": 8,
    "training.epochs": 2,
    "network.hidden_sizes": [8],
    "report.leaks": "none",
}


def asked(base: str | None = None, **details: Any) -> Settings:
    flags = {name.replace("__", "."): value for name, value in details.items()}
    own = {"arch", "split.window", "network.hidden_sizes"} if base else set()
    usual = {name: value for name, value in FLAGS.items() if name not in own}
    return settings_of(None, {**usual, **flags}, base=base)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.pt"
    path.write_bytes(train(asked(), path.name).data)
    return path


def test_a_tuned_model_is_whole_and_differs_by_a_low_rank(base: Path) -> None:
    made = train(asked(str(base), training__lora="r=2"), "tuned.pt")
    before, after = (
        build(load(data, name="a.pt")).state_dict() for data in (base.read_bytes(), made.data)
    )
    assert list(before) == list(after)
    for name, value in before.items():
        if value.dim() == 2:
            change = after[name] - value
            assert change.abs().max() > 0
            assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2
        else:
            assert after[name].equal(value)


def test_the_history_and_the_report_tell_what_was_trained(base: Path) -> None:
    made = train(asked(str(base), training__lora="r=2"), "tuned.pt")
    step = load(made.data, name="a.pt").card.history[-1]
    told = step.measurements["lora"]
    assert isinstance(told, dict)
    assert told["trained"] == made.report.trained < told["total"] == made.report.parameters
    assert told["optimizer_bytes"] == 8 * told["trained"]
    assert told["merged"] <= 1e-5
    assert any("parameters trained" in note for note in made.report.notes)
    assert len(load(made.data, name="a.pt").card.history) == 2


def test_adapters_without_a_base_are_refused() -> None:
    with pytest.raises(Usage, match="trained before") as found:
        train(asked(training__lora="r=2"), "tuned.pt")
    assert "--base" in found.value.hint


def test_adapters_that_cannot_be_read_are_refused(base: Path) -> None:
    with pytest.raises(BadLora):
        train(asked(str(base), training__lora="rank"), "tuned.pt")


def test_processes_that_do_not_wait_say_what_they_gained() -> None:
    made = train(asked(training__hogwild=1, training__learning_rate=0.05), "wild.pt")
    assert any("HOGWILD" in note for note in made.report.notes)
    assert made.report.steps > 0
    assert len(made.report.epochs) == 2
    told = load(made.data, name="a.pt").card.history[-1].measurements["hogwild"]
    assert told == {"updates": [made.report.steps], "speedup": None}


@pytest.mark.parametrize(
    "other",
    [
        {"training__accumulate": 2},
        {"training__average": 0.9},
        {"training__early_stop": "sharpe:max"},
    ],
)
def test_what_processes_cannot_share_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(NotTogether, match="hogwild"):
        train(asked(training__hogwild=2, **other), "wild.pt")


def test_adapters_and_processes_that_do_not_wait_exclude_each_other(base: Path) -> None:
    with pytest.raises(NotTogether, match="`hogwild` and `lora` together"):
        train(asked(str(base), training__hogwild=2, training__lora="r=2"), "wild.pt")
