"""`aitrade train` as a person types it, on real bars and a tiny network."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.model.artefact import TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.passes.train import leaks
from aitrade_cli.passes.train.recipe_file import USUAL_VALUES
from tests.passes_cases import typed
from tests.shell import ROOT

BARS = str(ROOT / "fixtures" / "bars" / "eurusd_1h.parquet")
RECIPE = f"""
arch = "mlp"
data = "{BARS}"
[network]
hidden_sizes = [8]
[split]
features = ["log_return_1", "rsi_14", "hour_sin"]
window = 16
stride = 4
[training]
epochs = 2
batch = 128
"""


@pytest.fixture(autouse=True)
def _folder_with_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "recipe.toml").write_text(RECIPE)


def test_a_run_leaves_a_whole_artefact_and_a_whole_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "recipe.toml", "--run-dir", "a", "--schedule", "onecycle", "--tensorboard")
    assert typed(monkeypatch, *words, "--plot", "p.svg") == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "Untouched test part" in out
    assert "no leak: " in out
    assert "train: mlp, epoch 1 of 2: loss" in err
    artefact = load(Path("mlp.pt").read_bytes())
    card = artefact.card
    assert isinstance(artefact.network, TorchWeights)
    assert card.sample is not None
    assert card.preprocessing is not None
    assert card.trained_until_ns is not None
    assert card.sample.evaluation.timestamp_ns[0] > card.trained_until_ns
    (step,) = card.history
    assert step.settings["recipe"]["schedule"] == "onecycle"
    assert step.measurements["held_out"]["windows"] == 2048
    assert tomllib.loads(step.settings["file"]) == tomllib.loads(Path("a/recipe.toml").read_text())
    lines = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines if line["kind"] == "epoch"] == [1, 2]
    assert {"sharpe", "drawdown", "accuracy"} <= lines[-1]["figures"].keys()
    for name in ("loss.png", "equity.png"):
        assert (Path("a") / name).read_bytes().startswith(b"\x89PNG")
    assert list(Path("a/tensorboard").glob("events.out.tfevents.*"))
    assert Path("p.svg").exists()


def test_a_run_that_is_taken_up_writes_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "a.pt") == 0
    assert typed(monkeypatch, "train", "--resume", "a", "-o", "b.pt") == 0
    assert Path("a.pt").read_bytes() == Path("b.pt").read_bytes()
    for state in Path("a/checkpoints").iterdir():
        state.unlink()
    assert typed(monkeypatch, "train", "--resume", "a", "-o", "c.pt") == 0
    assert Path("a.pt").read_bytes() == Path("c.pt").read_bytes()


def test_every_optimisation_at_once_trains_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train", "recipe.toml", "--arch", "tcn", "--epochs", "1", "--accumulate", "4"]
    words += ["--activation-checkpointing", "--amp", "auto", "--average", "0.9", "--batch", "64"]
    Path("recipe.toml").write_text(RECIPE.replace("hidden_sizes = [8]", "channels = [8, 8]"))
    words += ["--early-stop", "sharpe:max:patience=5,turnover:>0", "--folds", "2"]
    assert typed(monkeypatch, *words) in {0, 1}
    (step,) = load(Path("tcn.pt").read_bytes()).card.history
    assert step.settings["recipe"]["accumulate"] == 4
    assert len(step.measurements["walk_forward"]) == 1


def test_a_limit_that_no_epoch_holds_exits_1_and_the_model_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "recipe.toml", "--epochs", "1", "--early-stop", "sharpe:>99")
    assert typed(monkeypatch, *words) == 1
    assert "no epoch held the limits" in capsys.readouterr().out
    assert Path("mlp.pt").exists()


def leaks_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    rows = f'{RECIPE}learning_rate = 0.01\n[report]\nleaks = "full"\n'
    Path("recipe.toml").write_text(rows.replace("stride = 4", "stride = 1"))
    code = typed(monkeypatch, "train", "recipe.toml", "--force", "--json")
    told = json.loads(capsys.readouterr().out)["data"]
    assert (code == 0) == told["passed"]
    return told


def test_labels_in_another_order_give_no_edge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = leaks_of(monkeypatch, capsys)
    assert told["passed"]
    assert 0.0 < told["leaks"]["shuffled_accuracy"] <= told["leaks"]["chance"] < 1.0


def test_an_edge_that_labels_in_their_own_order_give_would_be_called_a_leak(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(leaks, "BEYOND_CHANCE", 0.0)
    monkeypatch.setattr(leaks, "in_another_order", lambda classes, _: classes)
    told = leaks_of(monkeypatch, capsys)
    assert not told["passed"]
    assert told["leaks"]["shuffled_accuracy"] > told["leaks"]["chance"]


def test_a_dry_run_says_what_would_run_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("train", "recipe.toml", "--dry-run", "--batch", "auto", "--run-dir", "a", "--json")
    assert typed(monkeypatch, *words) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert told["found_batch"]["batch"] == told["batch"]
    assert told["memory_bytes"]["weights"] == 4 * told["parameters"]
    assert told["data_bytes"] < told["copied_bytes"]
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def test_a_model_is_gone_on_from_with_its_own_window(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "train", "recipe.toml", "-o", "a.pt") == 0
    words = ("train", "--data", BARS, "--base", "a.pt", "--epochs", "1", "-o", "b.pt")
    assert typed(monkeypatch, *words) == 0
    first, second = (load(Path(name).read_bytes()) for name in ("a.pt", "b.pt"))
    assert second.card.preprocessing is not None
    assert second.card.preprocessing.window == 16
    assert [step.command for step in second.card.history] == ["train", "train"]
    assert second.card.history[-1].parent_sha256 == first.sha256


def test_init_writes_a_recipe_that_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "train", "--init", "new.toml", "--arch", "gru", "--epochs", "3") == 0
    told = tomllib.loads(Path("new.toml").read_text())
    assert (told["arch"], told["training"]["epochs"]) == ("gru", 3)
    flat = {
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in told.items()
        for key in (value if isinstance(value, dict) else [""])
    }
    assert flat == set(USUAL_VALUES)
    assert typed(monkeypatch, "train", "--init", "new.toml") == 6


@pytest.mark.parametrize(
    ("words", "code", "told", "hint"),
    [
        (("recipe.toml", "--arch", "lstmm"), 4, "called `lstmm`", "one of mlp"),
        (("recipe.toml", "--epochs", "0"), 2, "`--epochs 0` does not fit", ""),
        (("recipe.toml", "--schedule", "warp"), 2, "one of cosine", ""),
        (("recipe.toml", "--early-stop", "sharp:max"), 2, "no figure", "drawdown"),
        (("recipe.toml", "--accumulate", "999"), 2, "cannot be cut", "--batch"),
        (("recipe.toml", "--data", "nope.csv"), 4, "nope.csv", ""),
        (("recipe.toml", "--batch", "many"), 2, "no number of windows", "`auto`"),
        (("recipe.toml", "--device", "tpu"), 2, "one of auto", ""),
        (("--arch", "mlp"), 2, "no bars", "--data BARS"),
        (("--resume", "nowhere"), 4, "no run lies in `nowhere`", "--run-dir"),
        (("--resume", "a", "--epochs", "3"), 2, "`training.epochs` cannot be given", "leave it"),
        (("nope.toml",), 4, "cannot read `nope.toml`", "--init"),
        (("recipe.toml", "--base", "x.pt", "--arch", "mlp"), 2, "`--arch` cannot", "leave one"),
        (("recipe.toml", "--plot", "a.gif"), 2, "a.gif", ".png"),
    ],
)
def test_what_cannot_be_is_one_line_and_a_hint(
    words: tuple[str, ...],
    code: int,
    told: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(monkeypatch, "train", *words) == code
    first, *rest = capsys.readouterr().err.strip().splitlines()
    assert first.startswith("error: ")
    assert told in first
    assert hint in " ".join(rest)


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("epochs = 3", "`epochs` is no key", "`training.epochs`"),
        ("[training]\nepoch = 3", "`training.epoch` is no key", "`training.epochs`"),
        ("[training]\nepochs = 'ten'", "wanted a whole number", ""),
        ("[training]\nlearning_rate = nan", "wanted a number", ""),
        ("[split]\nvalidation_share = 0.9", "0.5 at the most", ""),
        ("[network]\nwindow = 3", "not to be set", "`split.window`"),
        ("[network]\nhidden = 3", "cannot be built", ""),
        ("arch =", "is no TOML", ""),
        ("[split]\nfeatures = ['nope']", "unknown feature", ""),
    ],
)
def test_a_recipe_that_is_none_is_told_with_its_key(
    text: str,
    told: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("bad.toml").write_text(text)
    code = typed(monkeypatch, "train", "bad.toml", "--data", BARS)
    assert code in {2, 4}
    err = capsys.readouterr().err
    assert told in err
    assert hint in err


def test_an_earlier_run_is_not_written_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "a.pt") == 0
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "b.pt") == 6
    assert "state of an earlier run" in capsys.readouterr().err
    words = ("train", "recipe.toml", "--run-dir", "a", "-o", "b.pt", "--force", "--epochs", "1")
    assert typed(monkeypatch, *words) == 0
