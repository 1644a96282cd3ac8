"""16 bits only where there are units for them and they pay; trials that change nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.training import batch_size, precision, precision_choice
from aitrade_cli.training.batch_size import find_batch
from aitrade_cli.training.hygiene import Hygiene
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.precision import NoUnits, has_units, precision_named
from aitrade_cli.training.precision_choice import choose_precision
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Hooks, pursue
from aitrade_cli.training.trial import Trial, time_recipes
from tests.test_training_loop import arch, planted


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data() -> Labels:
    return Labels(planted(128), planted(32, seed=1))


def without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"architecture": "x86_64", "avx2": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)


def test_fp16_without_units_is_refused_with_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    without_units(monkeypatch)
    with pytest.raises(NoUnits, match="no units for float16") as refused:
        precision_named("fp16", "cpu")
    assert "--amp auto" in refused.value.hint
    assert precision_named("fp32", "cpu") == "fp32"
    with pytest.raises(Usage, match="no precision is called `fp8`"):
        precision_named("fp8", "cpu")


def test_auto_without_units_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    without_units(monkeypatch)
    choice = choose_precision("auto", fresh(arch("mlp"), 1), data(), Recipe())
    assert (choice.precision, choice.speedup) == ("fp32", None)
    assert "no units" in choice.why


@pytest.mark.parametrize(
    ("gain", "finite", "taken"), [(1.5, True, "bf16"), (1.05, True, "fp32"), (2.0, False, "fp32")]
)
def test_auto_takes_what_was_measured_to_pay(
    monkeypatch: pytest.MonkeyPatch, gain: float, finite: bool, taken: str
) -> None:
    def planted_trials(*_: Any, **__: Any) -> tuple[Trial, ...]:
        return Trial(Recipe(), (gain,), 100, True), Trial(Recipe(), (1.0,), 60, finite)

    monkeypatch.setattr(precision_choice, "time_recipes", planted_trials)
    monkeypatch.setattr(precision_choice, "has_units", lambda *_: True)
    choice = choose_precision("auto", fresh(arch("mlp"), 1), data(), Recipe())
    assert choice.precision == taken
    assert choice.activations == 0.6


def test_weights_and_answers_stay_float32_in_bf16() -> None:
    seen: list[torch.dtype] = []

    class Looks(Labels):
        def loss(self, network: nn.Module, rows: Any) -> torch.Tensor:
            logits, _ = self.answers(network, rows)
            seen.append(logits.dtype)
            return super().loss(network, rows)

    network = fresh(arch("gru"), 1)
    goal = Looks(planted(64), planted(16))
    fit = pursue(network, goal, Recipe(epochs=2, batch=32, precision="bf16"))
    assert set(seen) == {torch.float32}
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    plain = pursue(fresh(arch("gru"), 1), data(), Recipe(epochs=2, batch=32))
    assert fit.skipped == 0
    assert fit.best.validation_loss == pytest.approx(plain.best.validation_loss, rel=0.05)
    assert not network._forward_hooks  # what widens the answers is taken off again


@pytest.mark.skipif(not has_units("fp16", "cpu"), reason="this CPU has no units for float16")
def test_fp16_skips_steps_that_overflow_and_counts_them() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(24, 3))
    goal = data()
    goal.training.windows[:] *= 1e3  # the scale of 65,536 is too much for these at first
    fit = pursue(network, goal, Recipe(epochs=8, batch=32, patience=9, precision="fp16"))
    assert 0 < fit.skipped < fit.steps
    assert all(torch.isfinite(one).all() for one in network.parameters())


def test_trials_change_neither_the_network_nor_the_caller_s_chance() -> None:
    network, goal = fresh(arch("transformer"), 1), data()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    chance = torch.get_rng_state()
    recipes = [Recipe(batch=16), Recipe(batch=16, activation_checkpointing=True)]
    plain, thrifty = time_recipes(network, goal, recipes, rounds=2)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)
    assert network.training is fresh(arch("transformer"), 1).training
    assert thrifty.peak_bytes < plain.peak_bytes
    assert len(plain.seconds) == len(thrifty.seconds) == 2


def planted_speeds(monkeypatch: pytest.MonkeyPatch, speeds: dict[int, float], each: int) -> None:
    def tried(_network: Any, _goal: Any, recipes: Sequence[Recipe], **__: Any) -> tuple[Trial, ...]:
        return tuple(
            Trial(one, (one.batch / speeds[one.batch],), each * one.batch, True) for one in recipes
        )

    monkeypatch.setattr(batch_size, "time_recipes", tried)


def test_the_smallest_batch_that_is_as_fast_as_any_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speeds = {8: 100.0, 16: 190.0, 32: 300.0, 64: 390.0, 128: 400.0, 256: 401.0, 512: 1.0}
    planted_speeds(monkeypatch, speeds, each=10)
    goal = Labels(planted(8 * 512), planted(8))
    choice = find_batch(fresh(arch("mlp"), 1), goal, Recipe(), memory_bytes=10**6)
    assert choice.batch == 64
    assert [one.batch for one in choice.candidates] == [8, 16, 32, 64, 128, 256]
    assert choice.largest == 4096  # no more than there are windows


def test_no_batch_beyond_the_memory_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    planted_speeds(monkeypatch, {8: 1.0, 16: 2.0, 32: 4.0}, each=10)
    goal = Labels(planted(8 * 512), planted(8))
    choice = find_batch(fresh(arch("mlp"), 1), goal, Recipe(), memory_bytes=420)
    assert (choice.batch, choice.largest) == (32, 40)
    with pytest.raises(BadInput, match="not even 8 windows fit"):
        find_batch(fresh(arch("mlp"), 1), goal, Recipe(), memory_bytes=79)
    with pytest.raises(BadInput, match="too few to find"):
        find_batch(fresh(arch("mlp"), 1), Labels(planted(4), planted(4)), Recipe())


def test_a_batch_is_found_on_a_real_network() -> None:
    goal = Labels(planted(256), planted(8))
    choice = find_batch(fresh(arch("gru"), 1), goal, Recipe())
    assert choice.batch in {8, 16, 32}
    sizes = [one.activation_bytes for one in choice.candidates]
    assert sizes == sorted(sizes)


def test_the_collector_rests_during_steps_and_is_put_back() -> None:
    seen: list[bool] = []
    hooks = Hooks(after_step=lambda *_: seen.append(gc.isenabled()), callbacks=(Hygiene(),))
    assert gc.isenabled()
    pursue(fresh(arch("mlp"), 1), data(), Recipe(epochs=1, batch=32), hooks=hooks)
    assert seen == [False] * 4
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.disable()
    try:
        pursue(fresh(arch("mlp"), 1), data(), Recipe(epochs=1), hooks=Hooks(callbacks=(Hygiene(),)))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_steps_leave_no_cycles_for_the_collector() -> None:
    """Tensors in a reference cycle would wait for a collection that does not come."""
    found: list[int] = []

    class Counts(Hygiene):
        def on_epoch(self, run: Any, epoch: Any) -> None:
            del run, epoch
            found.append(sum(isinstance(one, torch.Tensor) for one in gc.get_objects()))

    pursue(
        fresh(arch("transformer"), 1),
        data(),
        Recipe(epochs=4, batch=16),
        hooks=Hooks(callbacks=(Counts(),)),
    )
    assert found[1] == found[2] == found[3]


def test_precision_module_names_every_format() -> None:
    assert precision.PRECISIONS == ("fp32", "bf16", "fp16")


def test_a_batch_is_found_that_can_be_cut_into_the_parts_that_were_asked_for() -> None:
    goal = Labels(planted(256), planted(16))
    choice = find_batch(fresh(arch("mlp"), 1), goal, Recipe(accumulate=24))
    assert min(one.batch for one in choice.candidates) == 32
    assert choice.batch >= 32
    with pytest.raises(BadInput, match="too few to find"):
        find_batch(fresh(arch("mlp"), 1), Labels(planted(20), planted(4)), Recipe(accumulate=24))


def test_a_busy_moment_of_the_first_look_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {8: 100.0, 16: 190.0, 32: 300.0, 64: 390.0, 128: 400.0, 256: 401.0}
    looks = 0

    def tried(_network: Any, _goal: Any, recipes: Sequence[Recipe], **__: Any) -> tuple[Trial, ...]:
        nonlocal looks
        looks += 1
        slow = 4.0 if len(recipes) == 1 and recipes[0].batch in {16, 32} else 1.0
        return tuple(
            Trial(one, (slow * one.batch / speeds[one.batch],), 10, True) for one in recipes
        )

    monkeypatch.setattr(batch_size, "time_recipes", tried)
    goal = Labels(planted(8 * 512), planted(8))
    choice = find_batch(fresh(arch("mlp"), 1), goal, Recipe(), memory_bytes=10**6)
    assert choice.batch == 64
    assert looks > 6  # looked again
