"""A state taken between any two steps, every part of it, and what follows from it."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.loop import Labels
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.randomness import apart, generators, set_generators
from aitrade_cli.training.run import Hooks, Recipe, Run, State, pursue
from tests.test_training_loop import planted
from tests.training_cases import AfterEachPass

RECIPE = Recipe(epochs=4, batch=32, learning_rate=5e-3, patience=9, seed=3, schedule="onecycle")
EVERYTHING = Recipe(
    epochs=4,
    batch=32,
    learning_rate=5e-3,
    patience=2,
    seed=3,
    accumulate=3,
    average=0.9,
    precision="bf16",
    activation_checkpointing=True,
    schedule="restarts",
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Noisy(nn.Module):
    """Draws from torch and numpy in every forward pass.

    Not from Python's own: the type checks of the tests draw from it as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(24, 3)

    def forward(self, window: Tensor) -> Tensor:
        rows = window.flatten(1)
        if self.training:
            rows = rows + 0.01 * float(np.random.normal())
        for layer in self.layers:
            rows = self.drop(layer(rows).tanh())
        return self.head(rows)


def noisy() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Noisy()


class Counts(Callback):
    """A callback with a state of its own."""

    name = "counts"

    def __init__(self, take_at: int = -1) -> None:
        self.steps, self.take_at = 0, take_at
        self.taken: State | None = None
        self.moments: list[str] = []

    def on_start(self, run: Run) -> None:
        assert run.step < run.steps
        self.moments.append("start")

    def on_step(self, run: Run) -> None:
        self.steps += 1
        if run.step == self.take_at:
            self.taken = run.state()

    def on_end(self, run: Run) -> None:
        assert run.steps
        self.moments.append("end")

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def restore(self, state: Any) -> None:
        self.steps = state["steps"]


def data() -> Labels:
    return Labels(planted(200), planted(60, seed=1))


def reopened(state: State) -> State:
    """Through a file that may hold no code."""
    buffer = io.BytesIO()
    torch.save(state.as_dict(), buffer)
    buffer.seek(0)
    return State.from_dict(torch.load(buffer, weights_only=True))


@pytest.mark.parametrize("recipe", [RECIPE, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("at", [1, 7, 10, 21])  # 7 steps a pass: mid-epoch, and at its end
def test_a_run_taken_up_mid_epoch_is_the_run_that_was_never_cut_off(
    recipe: Recipe, at: int
) -> None:
    whole, resumed = noisy(), noisy()
    first, second = Counts(at), Counts()
    told = pursue(whole, data(), recipe, hooks=Hooks(callbacks=(first,)))
    assert first.taken is not None
    state = reopened(first.taken)
    again = pursue(resumed, data(), recipe, hooks=Hooks(callbacks=(second,)), state=state)
    assert again == told
    assert second.steps == first.steps
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("part", ["torch", "numpy", "order"])
def test_a_state_without_one_of_its_generators_would_be_noticed(part: str) -> None:
    whole, resumed = noisy(), noisy()
    taker = Counts(10)
    pursue(whole, data(), RECIPE, hooks=Hooks(callbacks=(taker,)))
    assert taker.taken is not None
    fresh = AfterEachPass()
    pursue(noisy(), data(), Recipe(epochs=1, seed=99), hooks=Hooks(callbacks=(fresh,)))
    taker.taken.random[part] = fresh.states[0].random[part]
    pursue(resumed, data(), RECIPE, state=taker.taken)
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def drawn() -> list[float]:
    return [random.random(), float(np.random.random()), torch.rand(1).item()]


def test_the_caller_s_generators_are_left_alone() -> None:
    np.random.seed(4)
    torch.manual_seed(4)
    wanted = drawn()
    np.random.seed(4)
    torch.manual_seed(4)
    pursue(noisy(), data(), Recipe(epochs=1))
    assert drawn()[1:] == wanted[1:]
    random.seed(5)
    with apart(3):
        drawn()
    inside, wanted = random.random(), random.Random(5).random()
    assert inside == wanted


def test_generators_go_on_from_where_they_were_found() -> None:
    with apart(3):
        found = generators()
        wanted = drawn()
        drawn()
        set_generators(found)
        assert drawn() == wanted


def test_a_live_state_changes_with_the_run_and_a_taken_one_does_not() -> None:
    class Both(Callback):
        def on_step(self, run: Run) -> None:
            if run.step == 2:
                self.live, self.taken = run.live_state(), run.state()

    both = Both()
    pursue(noisy(), data(), Recipe(epochs=1), hooks=Hooks(callbacks=(both,)))
    name = "head.weight"
    assert not torch.equal(both.live.weights[name], both.taken.weights[name])


def test_callbacks_are_told_of_the_end_when_a_step_fails() -> None:
    class Fails(Callback):
        def on_step(self, run: Run) -> None:
            raise RuntimeError(f"boom at {run.step}")

    watching, network = Counts(), noisy()
    recipe = Recipe(epochs=1, activation_checkpointing=True)
    with pytest.raises(RuntimeError, match="boom"):
        pursue(network, data(), recipe, hooks=Hooks(callbacks=(watching, Fails())))
    assert watching.moments == ["start", "end"]
    assert not any("forward" in vars(part) for part in network.modules())


def test_a_callback_may_end_the_run_and_its_reason_is_told() -> None:
    class Stops(Callback):
        def on_step(self, run: Run) -> None:
            if run.step == 3:
                run.stop("three is enough")

    fit = pursue(noisy(), data(), RECIPE, hooks=Hooks(callbacks=(Stops(),)))
    assert (fit.steps, len(fit.epochs), fit.stopped) == (3, 1, "three is enough")


class OtherProcess(Alone):
    """The second of several that share a run."""

    rank = 1


def test_each_process_draws_masks_of_its_own_from_the_same_order() -> None:
    ends, orders = [], []
    for placement in (Alone(), OtherProcess(), OtherProcess()):
        network, rows = noisy(), []
        goal = data()
        plain = goal.loss
        goal.loss = lambda net, asked, rows=rows, plain=plain: (  # type: ignore[method-assign]
            rows.append(asked.tolist()), plain(net, asked))[1]  # fmt: skip
        pursue(network, goal, Recipe(epochs=1, batch=32, seed=3), placement=placement)
        ends.append(network.state_dict())
        orders.append(rows)
    assert orders[0] == orders[1] == orders[2]
    assert all(torch.equal(ends[1][name], ends[2][name]) for name in ends[1])
    assert not torch.equal(ends[0]["head.weight"], ends[1]["head.weight"])


def test_a_process_that_goes_on_does_not_take_up_the_masks_of_another() -> None:
    taker = Counts(10)
    pursue(noisy(), data(), RECIPE, hooks=Hooks(callbacks=(taker,)))
    assert taker.taken is not None
    ends = []
    for placement in (Alone(), OtherProcess(), OtherProcess()):
        network = noisy()
        pursue(network, data(), RECIPE, state=reopened(taker.taken), placement=placement)
        ends.append(network.state_dict()["head.weight"])
    assert torch.equal(ends[1], ends[2])
    assert not torch.equal(ends[0], ends[1])
