"""One training run: steps, epochs, when to stop, and how to go on after it was cut off."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.runtimes.eager import pool_of


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one training run; the defaults suit some thousand windows on a CPU."""

    epochs: int = 20
    batch: int = 64
    learning_rate: float = 1e-3  # the highest; it rises, then falls along a cosine to zero
    warmup_share: float = 0.1  # of all steps
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    patience: int = 5  # epochs without a better validation loss before stopping
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one pass over the training windows went."""

    number: int  # from 1
    training_loss: float  # mean while learning; nats, where it is a cross-entropy
    validation_loss: float  # after the pass, same unit
    best: bool  # no earlier pass had a lower validation loss


@dataclass(frozen=True, slots=True)
class Fit:
    """All passes of one training run; the network holds the weights of the best."""

    epochs: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The pass whose weights were kept; the last where a hook let none count."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.best), self.epochs[-1])


@runtime_checkable
class Objective(Protocol):
    """What a network is trained towards.

    Attributes:
        helper: trained along with the network and thrown away after, such as a projection.
    """

    helper: nn.Module

    def __len__(self) -> int:
        """Training windows."""
        ...

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        """Mean loss over these training windows, to be differentiated."""
        ...

    def validation_loss(self, network: nn.Module) -> float:
        """Mean loss over windows that are not trained on."""
        ...


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands between two passes: tensors and plain data only.

    Attributes:
        epochs: passes so far.
        weights: of the network, and of the objective's helper.
        best: weights of the network after the best pass.
        optimizer: its moments; ``schedule``: where on the curve the learning rate is.
        order: state of the generator that shuffles; ``noise``: of torch's own.
    """

    epochs: tuple[Epoch, ...]
    weights: dict[str, Tensor]
    helper: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    order: Tensor
    noise: Tensor


@dataclass(frozen=True, slots=True)
class Hooks:
    """Where others take part in a run.

    Attributes:
        after_step: given the network, how many steps were taken and how many there will be at
            the most; may change weights in place. A schedule of sparsity is one.
        counts: given a pass' number, whether its weights may be kept. A schedule that has not
            arrived yet says no.
        keep: given the state after each pass.
        enough: asked after each step; the run ends there when it says yes.
    """

    after_step: Callable[[nn.Module, int, int], None] = lambda *_: None
    counts: Callable[[int], bool] = lambda _: True
    keep: Callable[[State], None] | None = None
    enough: Callable[[], bool] = lambda: False


NO_HOOKS = Hooks()


def pursue(
    network: nn.Module,
    objective: Objective,
    recipe: Recipe,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    *,
    hooks: Hooks = NO_HOOKS,
    state: State | None = None,
) -> Fit:
    """Train with AdamW and keep the weights of the epoch with the lowest validation loss.

    Same network, objective, recipe and thread count give the same weights, bit by bit, also
    where the run was cut off and went on from its state. Recurrent networks train on one thread.

    Args:
        network: trained in place; left in evaluation mode with the best weights.
        objective: the loss, the windows it is taken on and those that decide when to stop.
        recipe: settings.
        on_epoch: told about each pass as it ends.
        hooks: others that take part.
        state: of an earlier run with the same arguments; it goes on from there.

    Raises:
        BadInput: no examples, or a loss that is not finite.

    Source:
        Loshchilov and Hutter 2019. https://arxiv.org/abs/1711.05101
    """
    if not len(objective) or recipe.epochs < 1:
        raise BadInput("nothing to train on: examples and epochs must both be at least one")
    with torch.random.fork_rng(devices=[]), pool_of(threads_for(network)):
        torch.manual_seed(recipe.seed)  # for dropout, where a network has it
        run = _Run(network, objective, recipe, hooks)
        if state is not None:
            run.go_on_from(state)
        while not run.over:
            on_epoch(run.one_epoch())
    network.load_state_dict(run.best)
    network.eval()
    return Fit(tuple(run.epochs))


def threads_for(network: nn.Module) -> int:
    """Threads to train with: one where a layer is recurrent, else what torch is set to.

    The steps of a recurrent layer are too small to share out: on two cores an LSTM of 64 units
    learns nearly four times as fast on one thread as on two.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    return 1 if recurrent else torch.get_num_threads()


class _Run:
    """What changes while a network is trained."""

    def __init__(
        self, network: nn.Module, objective: Objective, recipe: Recipe, hooks: Hooks
    ) -> None:
        self.network, self.objective, self.recipe, self.hooks = network, objective, recipe, hooks
        self.trained = [*network.parameters(), *objective.helper.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.steps = recipe.epochs * math.ceil(len(objective) / recipe.batch)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, _warm_cosine(self.steps, recipe)
        )
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.epochs: list[Epoch] = []
        self.best = copy_of(network)
        self.step = 0
        self.stopped = False

    @property
    def over(self) -> bool:
        """Every epoch was run, or enough of them were no better, or somebody said enough."""
        done = len(self.epochs)
        waited = done - Fit(tuple(self.epochs)).best.number if done else 0
        return self.stopped or done >= self.recipe.epochs or waited >= self.recipe.patience

    def one_epoch(self) -> Epoch:
        number = len(self.epochs) + 1
        training_loss = self.one_pass()
        loss = self.objective.validation_loss(self.network)
        if not math.isfinite(loss):
            raise BadInput(f"the validation loss of epoch {number} is not finite")
        counts = self.hooks.counts(number)
        earlier = [
            epoch.validation_loss for epoch in self.epochs if self.hooks.counts(epoch.number)
        ]
        best = counts and all(loss < other for other in earlier)
        self.epochs.append(Epoch(number, training_loss, loss, best))
        if best or not counts:
            self.best = copy_of(self.network)
        if self.hooks.keep is not None:
            self.hooks.keep(self.state())
        return self.epochs[-1]

    def one_pass(self) -> float:
        self.network.train()
        total, seen = 0.0, 0
        rows = torch.randperm(len(self.objective), generator=self.order)
        for picked in rows.split(self.recipe.batch):
            loss = self.objective.loss(self.network, picked.numpy())
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.trained, self.recipe.clip_norm)
            self.optimizer.step()
            self.schedule.step()
            self.step += 1
            self.hooks.after_step(self.network, self.step, self.steps)
            total += loss.item() * len(picked)
            seen += len(picked)
            if self.hooks.enough():
                self.stopped = True
                break
        return total / seen

    def state(self) -> State:
        return State(
            epochs=tuple(self.epochs),
            weights=copy_of(self.network),
            helper=copy_of(self.objective.helper),
            best=self.best,
            optimizer=deepcopy(self.optimizer.state_dict()),  # its moments change in place
            schedule=dict(self.schedule.state_dict()),
            order=self.order.get_state(),
            noise=torch.get_rng_state(),
        )

    def go_on_from(self, state: State) -> None:
        self.network.load_state_dict(state.weights)
        self.objective.helper.load_state_dict(state.helper)
        self.optimizer.load_state_dict(state.optimizer)
        self.schedule.load_state_dict(state.schedule)
        self.order.set_state(state.order)
        torch.set_rng_state(state.noise)
        self.epochs, self.best = list(state.epochs), dict(state.best)
        self.step = self.schedule.last_epoch


def _warm_cosine(steps: int, recipe: Recipe) -> Callable[[int], float]:
    warm = max(1, round(steps * recipe.warmup_share))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return factor


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now, in memory of their own."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
