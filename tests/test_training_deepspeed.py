"""DeepSpeed's ZeRO-2 by two processes: the same end as DDP, half of the moments, no noise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from aitrade_cli.checks import train_state
from aitrade_cli.checks.train_state import close
from aitrade_cli.errors import AitradeError, Usage
from aitrade_cli.training.distributed.deepspeed import ZeroTwo, config_of
from aitrade_cli.training.distributed.driven import Driven, NotFinite, Reached
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.launch import WorkerFailed, spread
from aitrade_cli.training.distributed.placements import DataParallel
from aitrade_cli.training.distributed.trial import CPU, End, Layers, Planted, apart, end_of
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.placement import Placement
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import pursue
from tests.test_training_loop import arch, planted

ALONE: Final = Seat(0, 1, 0)
F32: Final = torch.float32
RECIPE: Final = Recipe(epochs=2, batch=21, seed=1)  # 90 rows: uneven windows, see the twin of DDP
WAYS: Final = ("deepspeed", "deepspeed+offload")
RECIPES: Final = {
    "plain": RECIPE,
    "ragged": replace(RECIPE, batch=13, accumulate=3),
    "lonely": replace(RECIPE, batch=89),
    "clipped": replace(RECIPE, clip_norm=0.05),
    "averaged": replace(RECIPE, average=0.9, schedule="onecycle"),
    "recomputed": replace(RECIPE, activation_checkpointing=True),
    "bf16": replace(RECIPE, precision="bf16"),
    "stopped": replace(RECIPE, epochs=9, early_stop="loss:min:patience=1"),
}
# What DDP differs by from one process in float32 on these networks is up to 6e-8.
CLOSE: Final = 2.5e-7
installed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")


class Idle(Layers):
    """Has a weight that no loss comes to."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, F32)
        self.idle = nn.Parameter(torch.ones(3))


class Broken(Planted):
    """Its loss overflows in the backward pass."""

    def loss(self, network: nn.Module, rows: Any) -> Tensor:
        return super().loss(network, rows) * 3e38 * 3e38


def refused(seat: Seat, network: nn.Module, objective: Planted) -> str:
    try:
        pursue(network, objective, RECIPE, placement=ZeroTwo(seat, CPU))
    except AitradeError as error:
        return f"{error.name}: {error}"
    return ""


def without_dropout(network: nn.Module) -> nn.Module:
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # each process draws masks of its own
    return network


def weights_of(network: nn.Module, placement: Placement) -> dict[str, Tensor]:
    recipe = replace(RECIPE, epochs=1, batch=32)
    pursue(network, Labels(planted(96), planted(16)), recipe, placement=placement)
    return placement.weights(network)


def every_way(seat: Seat, say: Callable[[str], None]) -> dict[str, Any]:
    """All that needs a group, in one start of it."""
    del say
    halfway = end_of("alone", ALONE, RECIPE, dtype=F32).halfway
    found: dict[str, Any] = {}
    for way in ("ddp", *WAYS):
        for name, recipe in RECIPES.items():
            found[f"{way} {name}"] = end_of(way, seat, recipe, dtype=F32)
        found[f"{way} resumed"] = end_of(way, seat, RECIPE, halfway, dtype=F32)
    for name in ("lstm", "transformer"):
        network, twin = (without_dropout(fresh(arch(name), 1)) for _ in range(2))
        ours = weights_of(network, ZeroTwo(seat, CPU))
        theirs = weights_of(twin, DataParallel(seat, CPU))
        found[name] = max(
            (ours[key] - theirs[key]).abs().max().item()
            for key in theirs
            # A key's bias has no gradient but rounding, which Adam makes as large as any other.
            if not key.endswith("query_key_value.bias")
        )
        found[f"{name} moved"] = max(
            (ours[key] - value).abs().max().item()
            for key, value in fresh(arch(name), 1).state_dict().items()
        )
        found[f"{name} hooks"] = len(network._forward_hooks) + len(network._forward_pre_hooks)
        found[f"{name} shares"] = len({one.untyped_storage().data_ptr() for one in ours.values()})
        found[f"{name} weights"] = len(ours)
    found["idle"] = refused(seat, Idle(6), Planted(90, 6, F32))
    found["broken"] = refused(seat, Layers(6, 1, F32), Broken(90, 6, F32))
    found["wide"] = refused(seat, Layers(6, 1), Planted(90, 6))
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    before = "deepspeed" in sys.modules
    result = spread(every_way, (), world=2, threads=1)
    assert ("deepspeed" in sys.modules) == before  # only a worker imports it
    return result


@pytest.fixture(scope="module")
def alone() -> dict[str, End]:
    return {name: end_of("alone", ALONE, one, dtype=F32) for name, one in RECIPES.items()}


@installed
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*RECIPES, "resumed"])
def test_two_processes_end_as_one_does_and_as_ddp_does(
    way: str, name: str, found: dict[str, Any], alone: dict[str, End]
) -> None:
    one = alone["plain" if name == "resumed" else name]
    ddp = found[f"ddp {name}"]
    assert apart(found[f"{way} {name}"], ddp) <= CLOSE
    # As close to one process as DDP is: in 16 bits neither is bit by bit.
    assert apart(found[f"{way} {name}"], one) <= max(CLOSE, 2 * apart(ddp, one))


@installed
def test_a_comparison_with_another_run_would_be_noticed(
    found: dict[str, Any], alone: dict[str, End]
) -> None:
    assert apart(found["deepspeed clipped"], alone["plain"]) > 100 * CLOSE
    assert apart(found["deepspeed plain"], alone["averaged"]) > 100 * CLOSE


@installed
@pytest.mark.parametrize("way", WAYS)
def test_each_process_keeps_half_of_the_moments(
    way: str, found: dict[str, Any], alone: dict[str, End]
) -> None:
    whole = alone["plain"].moments
    assert whole / 2 <= found[f"{way} plain"].moments <= whole / 2 + 4  # padded to be equal


@installed
@pytest.mark.parametrize("way", WAYS)
def test_the_state_in_the_middle_is_whole_and_one_process_goes_on_from_it(
    way: str, found: dict[str, Any], alone: dict[str, End]
) -> None:
    one, end = alone["plain"].halfway["optimizer"], found[f"{way} plain"]
    optimizer = end.halfway["optimizer"]
    assert optimizer["param_groups"] == one["param_groups"]
    assert optimizer["state"].keys() == one["state"].keys()
    for number, moments in one["state"].items():
        assert optimizer["state"][number].keys() == moments.keys()
        for name, tensor in moments.items():
            assert torch.allclose(optimizer["state"][number][name], tensor, rtol=0, atol=CLOSE)
    up = end_of("alone", ALONE, RECIPE, end.halfway, dtype=F32)
    assert apart(up, alone["plain"]) <= CLOSE


@installed
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_network_ends_as_with_ddp_and_is_given_back_clean(
    name: str, found: dict[str, Any]
) -> None:
    assert found[f"{name} moved"] > 1e-3
    assert found[name] <= CLOSE
    assert found[f"{name} hooks"] == 0
    assert found[f"{name} shares"] == found[f"{name} weights"]


@installed
def test_what_it_would_do_otherwise_without_a_word_is_refused(found: dict[str, Any]) -> None:
    assert found["idle"].startswith("Usage: a weight of shape `(3,)` has no part in the loss")
    assert found["broken"] == "NotFinite: the gradient of a step is not finite"
    assert found["wide"].startswith("Usage: DeepSpeed trains float32 weights; `layers.0.0.weight`")


def dies(seat: Seat, say: Callable[[str], None]) -> None:
    """Process 1 meets a bug in its third step, the other waits for its gradients."""
    del say

    class Bug(Planted):
        steps = 0

        def loss(self, network: nn.Module, rows: Any) -> Tensor:
            self.steps += 1
            if seat.rank == 1 and self.steps == 3:
                raise ZeroDivisionError("by the second process")
            return super().loss(network, rows)

    pursue(Layers(6, 1, F32), Bug(90, 6, F32), RECIPE, placement=ZeroTwo(seat, CPU))


@installed
def test_a_dead_process_ends_the_job_with_its_reason() -> None:
    started = time.monotonic()
    with pytest.raises(WorkerFailed, match="process 1 of 2 failed: ZeroDivisionError") as caught:
        spread(dies, (), world=2, threads=1)
    assert time.monotonic() - started < 30 + 60  # a busy host takes its time to start them
    assert 'raise ZeroDivisionError("by the second process")' in str(caught.value.__cause__)


def test_what_deepspeed_is_told() -> None:
    weights = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(5))]
    told = config_of(replace(RECIPE, clip_norm=0.5, accumulate=4), weights, 2, offload=True)
    assert told["gradient_clipping"] == 0.5
    assert told["gradient_accumulation_steps"] == 1  # it would divide by more
    assert told["zero_optimization"] == {
        "stage": 2,
        "reduce_bucket_size": 12,  # the largest weight
        "offload_optimizer": {"device": "cpu", "pin_memory": False},
    }
    assert "torch_autocast" not in told
    narrow = config_of(replace(RECIPE, precision="bf16"), weights, 2, offload=False)
    assert narrow["torch_autocast"]["lower_precision_safe_modules"] == []
    assert "offload_optimizer" not in narrow["zero_optimization"]


def test_a_weight_that_the_first_pass_does_not_come_to_is_told() -> None:
    network = Idle(2)
    for weights, names in ((network.head.parameters(), ()), (network.parameters(), ("(3,)",))):
        reached = Reached(list(weights))
        network(torch.ones(1, 2)).sum().backward()
        if names:
            with pytest.raises(Usage, match=r"shape `\(3,\)` has no part in the loss"):
                reached.all_of_them()
        else:
            reached.all_of_them()
        reached.all_of_them()  # it looks once


def test_a_step_that_the_engine_leaves_out_is_an_error() -> None:
    taken: list[str] = []
    network = nn.Linear(1, 1)
    inner = torch.optim.AdamW(network.parameters(), lr=0.25)
    engine = SimpleNamespace(
        step=lambda: taken.append("step"), optimizer=SimpleNamespace(overflow=False)
    )
    driven = Driven(engine, inner, list(network.parameters()))
    network(torch.ones(1, 1)).sum().backward()
    driven.zero_grad()
    assert network.weight.grad is not None  # the engine's to clear
    driven.step()
    assert taken == ["step"]
    assert driven.param_groups[0]["lr"] == 0.25
    engine.optimizer.overflow = True
    with pytest.raises(NotFinite):
        driven.step()


def test_the_checks_claim_nothing_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_state, "find_spec", lambda _: None)
    assert train_state.by_deepspeed("deepspeed") == ()
    assert train_state.deepspeed_told(()) == "DeepSpeed is not installed"
    monkeypatch.setattr(train_state, "find_spec", lambda _: object())
    assert train_state.by_deepspeed("deepspeed") == ("deepspeed",)


def test_a_check_fails_where_the_end_is_another(alone: dict[str, End]) -> None:
    assert close("as one process", alone["plain"]).passed
    assert not close("clipped", alone["clipped"]).passed
