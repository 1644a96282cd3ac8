"""`aitrade train` in two processes, sharded, and taken up again, as a person types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from aitrade_cli.errors import Usage
from aitrade_cli.model.artefact import TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.passes.train import devices
from aitrade_cli.passes.train.dry_run import held_by
from aitrade_cli.passes.train.launched import refuse_launcher
from aitrade_cli.passes.train.parts import place_of, placement_of
from aitrade_cli.passes.train.settings import settings_of
from aitrade_cli.training.distributed.group import Seat
from tests.passes_cases import typed
from tests.shell import surroundings
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
        (("--offload",), "goes with `--shard full` or `deepspeed` only"),
        (("--offload", "--shard", "optimizer"), "goes with `--shard full` or `deepspeed` only"),
        (("--shard", "accelerate"), "Accelerate starts processes"),
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


def test_deepspeed_that_is_not_installed_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    assert typed(monkeypatch, "train", "recipe.toml", "--shard", "deepspeed") == 5
    said = capsys.readouterr().err
    assert "DeepSpeed is not installed" in said
    assert "pip install 'aitrade-cli[deepspeed]'" in said
    Path("own.toml").write_text(RECIPE + '[spread]\nshard = "deepspeed"\n')
    assert typed(monkeypatch, "train", "own.toml") == 5


def test_a_build_that_was_killed_is_named_where_deepspeed_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lock = tmp_path / "extensions" / "py311_cpu" / "fused_adam" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.setattr(devices, "find_spec", lambda _: object())
    asked = ("train", "recipe.toml", "--dry-run", "--shard")
    assert typed(monkeypatch, *asked, "deepspeed") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"`{lock}` is of a build that was killed here" in said
    assert lock.exists()
    assert typed(monkeypatch, *asked, "full") == 0
    assert "was killed" not in capsys.readouterr().err


def test_a_dry_run_says_what_would_stop_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    assert typed(monkeypatch, "train", "recipe.toml", "--shard", "deepspeed", "--dry-run") == 5
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    capsys.readouterr()
    assert typed(monkeypatch, "train", "recipe.toml", "--dry-run") == 2
    assert "`--amp bf16`" in capsys.readouterr().err


def test_a_run_that_was_offloaded_may_go_on_whole() -> None:
    Path("a").mkdir()
    Path("a/recipe.toml").write_text(RECIPE + '[spread]\nshard = "full"\noffload = true\n')
    again = settings_of(None, {"spread.shard": "none"}, resume="a")
    assert again.values["spread.offload"] is False
    kept = settings_of(None, {}, resume="a")
    assert kept.values["spread.offload"] is True


@pytest.mark.parametrize(("words", "reason"), [(("--amp", "fp16"), "rules of its own")])
def test_what_deepspeed_cannot_do_is_refused_before_a_process_is_started(
    words: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _: object())
    monkeypatch.setattr(devices, "spread", lambda *_, **__: pytest.fail("it was started"))
    monkeypatch.setattr("aitrade_cli.training.precision.has_units", lambda *_: True)
    line = ("train", "recipe.toml", "--devices", "2", "--shard", "deepspeed", *words)
    assert typed(monkeypatch, *line) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shard", "offload"),
    [
        ("none", False),
        ("optimizer", False),
        ("full", False),
        ("full", True),
        ("deepspeed", False),
        ("deepspeed", True),
    ],
)
def test_a_place_is_named_before_the_run_as_in_it(shard: str, offload: bool) -> None:
    flags = {"spread.devices": 2, "spread.shard": shard, "spread.offload": offload or None}
    asked = settings_of("recipe.toml", flags)
    told = place_of(asked, 2)
    placement = placement_of(asked, Seat(0, 2, 0), torch.device("cpu"))
    assert set(placement.features) == told.features
    if shard != "optimizer":
        assert told.name == placement.name


def test_the_memory_that_a_process_holds_with_deepspeed() -> None:
    network = torch.nn.Linear(9, 10)  # 100 numbers, 400 bytes
    asked = settings_of("recipe.toml", {"spread.shard": "deepspeed"})
    held = held_by(asked, network, list(network.parameters()), 2)
    # Beside its half of the gradient lies what waits to be exchanged: the largest weight's.
    assert held == {"weights": 400 + 200, "gradients": 200 + 360, "moments": 400}


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_makes_the_model_that_one_process_does_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "devices_here", lambda _: 2)
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "a", "-o", "one.pt") == 0
    shutil.copytree("a", "half")
    max(Path("half/checkpoints").glob("*.ckpt")).unlink()  # the second of two epochs
    spread_out = ("--devices", "2", "--shard", "deepspeed")
    capfd.readouterr()
    words = ("train", "recipe.toml", "--json", *spread_out, "--offload", "--run-dir", "b")
    assert typed(monkeypatch, *words, "-o", "two.pt") == 0
    out, err = capfd.readouterr()
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["report"]
    assert {json.loads(line)["kind"] for line in err.splitlines()} == {"progress"}
    assert "deepspeed" not in err.lower()
    assert typed(monkeypatch, "train", "--resume", "half", *spread_out, "-o", "up.pt") == 0
    out, err = capfd.readouterr()
    assert out.startswith("trained")
    assert "going on after step" in err
    assert all(line.startswith("train: ") for line in err.splitlines())
    assert typed(monkeypatch, "train", "--resume", "b", "--devices", "1", "-o", "again.pt") == 0
    one = weights("one.pt")
    for name in ("two.pt", "up.pt", "again.pt"):
        other = weights(name)
        assert all(torch.allclose(other[key], one[key], rtol=0, atol=1e-6) for key in one), name


@pytest.mark.skipif(find_spec("accelerate") is None, reason="Accelerate is not installed")
def test_accelerate_starts_two_processes_that_make_the_model_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = ("train", "recipe.toml", "--leaks", "none", "--epochs", "1")
    assert typed(monkeypatch, *quick, "-o", "one.pt") == 0
    told = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port")
    line = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *told, "0"]
    done = subprocess.run(
        [*line, "--module", "aitrade_cli", *quick, "-o", "two.pt"],
        env=surroundings(),
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trained")  # by process 0 alone
    assert done.stdout.count("Untouched test part") == 1
    one, two = weights("one.pt"), weights("two.pt")
    assert all(torch.allclose(two[name], one[name], rtol=0, atol=1e-6) for name in one)


PLAIN = {"training.amp": "fp32", "spread.shard": "none", "training.compile": False}
STARTED = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "NO"}


def test_a_process_that_accelerate_told_no_rank_does_not_train_alone() -> None:
    with pytest.raises(Usage, match="told this one no rank") as refused:
        refuse_launcher(PLAIN, {**STARTED, "MASTER_ADDR": "127.0.0.1"})
    assert "--multi_gpu --num_processes 2" in refused.value.hint
    refuse_launcher(PLAIN, {**STARTED, "MASTER_ADDR": "127.0.0.1", "RANK": "0"})
    refuse_launcher(PLAIN, {"MASTER_ADDR": "127.0.0.1"})
    refuse_launcher(PLAIN, STARTED)


@pytest.mark.parametrize(
    ("told", "flag", "key", "value"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "--amp bf16", "training.amp", "bf16"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "--shard deepspeed", "spread.shard", "deepspeed"),
        ({"ACCELERATE_USE_FSDP": "true"}, "--shard full", "spread.shard", "full"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "--compile", "training.compile", True),
    ],
)
def test_what_accelerate_was_told_and_a_run_would_not_do_is_refused(
    told: dict[str, str], flag: str, key: str, value: object
) -> None:
    with pytest.raises(Usage, match="which a run does not read") as refused:
        refuse_launcher(PLAIN, {**STARTED, **told})
    assert f"`{flag}`" in refused.value.hint
    refuse_launcher({**PLAIN, key: value}, {**STARTED, **told})


@pytest.mark.parametrize(
    "told",
    [
        {"ACCELERATE_MIXED_PRECISION": "fp8"},
        {"ACCELERATE_USE_MEGATRON_LM": "true"},
        {"ACCELERATE_USE_PARALLELISM_CONFIG": "true"},
    ],
)
def test_what_no_flag_does_is_refused_with_what_comes_near(told: dict[str, str]) -> None:
    with pytest.raises(Usage, match="which a run does not read") as refused:
        refuse_launcher(PLAIN, {**STARTED, **told})
    assert "--amp fp8" not in refused.value.hint


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
