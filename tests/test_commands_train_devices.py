"""`aitrade train` in two processes, sharded, and taken up again, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aitrade_cli.model.artefact import TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.passes.train import devices, settings
from tests.passes_cases import typed
from tests.test_commands_train import RECIPE


@pytest.fixture(autouse=True)
def _folder_with_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)


def weights(name: str) -> dict[str, torch.Tensor]:
    network = load(Path(name).read_bytes()).network
    assert isinstance(network, TorchWeights)
    return dict(network.state_dict)


def test_two_sharded_processes_make_the_model_that_one_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "devices_here", lambda _: 2)
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "one.pt") == 0
    words = ("train", "recipe.toml", "--devices", "2", "--shard", "full", "--offload")
    assert typed(monkeypatch, *words, "--run-dir", "b", "-o", "two.pt") == 0
    said = capsys.readouterr().err
    assert "2 processes share each batch" in said
    assert "Warning" not in said
    one, two = weights("one.pt"), weights("two.pt")
    assert all(torch.allclose(two[name], one[name], atol=1e-5) for name in one)
    assert sorted(path.name for path in Path("a/checkpoints").iterdir()) == sorted(
        path.name for path in Path("b/checkpoints").iterdir()
    )
    assert typed(monkeypatch, "train", "--resume", "b", "--devices", "1", "-o", "up.pt") == 0
    assert "going on after step" in capsys.readouterr().err
    up = weights("up.pt")
    assert all(torch.equal(up[name], two[name]) for name in two)


def test_one_device_is_the_same_line_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "devices_here", lambda _: 1)
    assert typed(monkeypatch, "train", "recipe.toml", "--devices", "2", "-o", "a.pt") == 0
    assert "2 devices were asked for and 1 is here: training on 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--offload",), "goes with `--shard full` only"),
        (("--shard", "half"), "`--shard half` does not fit"),
        (("--shard", "full", "--compress-gradients", "fp16"), "every device has all of them"),
        (("--keep", "0"), "`--keep 0` does not fit"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(monkeypatch, "train", "recipe.toml", *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("there", "code"), [(False, 5), (True, 6)])
def test_an_engine_that_is_not_driven_is_refused_by_name_with_the_reason(
    there: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda _: object() if there else None)
    assert typed(monkeypatch, "train", "recipe.toml", "--shard", "deepspeed") == code
    said = capsys.readouterr().err
    assert ("DeepSpeed is here, but" if there else "DeepSpeed is not installed") in said
    assert "--shard full" in said


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "a.pt") == 0
    newest = max(Path("a/checkpoints").glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert typed(monkeypatch, "train", "--resume", "a", "-o", "b.pt") == 0
    said = capsys.readouterr().err
    assert f"`{newest}` is damaged" in said
    assert newest.with_name(newest.name + ".damaged").exists()
    assert Path("a.pt").read_bytes() == Path("b.pt").read_bytes()


def test_a_run_with_another_recipe_is_not_taken_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "a.pt") == 0
    recipe = Path("a/recipe.toml")
    recipe.write_text(recipe.read_text().replace("seed = 0", "seed = 1"))
    assert typed(monkeypatch, "train", "--resume", "a", "-o", "b.pt") == 6
    assert "of a run with seed `0`, not `1`" in capsys.readouterr().err
