"""One training run: steps, epochs, when to stop, and how to go on after it was cut off."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.training.average import Average
from aitrade_cli.training.build import PLAIN, Build, assemble
from aitrade_cli.training.criteria import parse_criteria
from aitrade_cli.training.goal import NO_HOOKS, Fit, Hooks, Objective, never
from aitrade_cli.training.legality import (
    features_of,
    refuse_illegal,
    refuse_out_of_range,
)
from aitrade_cli.training.offloading import refuse_inference_offload
from aitrade_cli.training.placement import Alone, Placement, copy_of
from aitrade_cli.training.precision import answers_in_float32
from aitrade_cli.training.randomness import apart, generators, go_on_drawing
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.schedules import Schedule
from aitrade_cli.training.state import Epoch, Position, State, own_memory
from aitrade_cli.training.step import Stepper

__all__ = [
    "NO_HOOKS",
    "Epoch",
    "Fit",
    "Hooks",
    "Objective",
    "Recipe",
    "Run",
    "State",
    "copy_of",
    "pursue",
    "threads_for",
]


def pursue(
    network: nn.Module,
    objective: Objective,
    recipe: Recipe,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    *,
    hooks: Hooks = NO_HOOKS,
    state: State | None = None,
    build: Build = PLAIN,
    placement: Placement | None = None,
) -> Fit:
    """Train, and keep the weights of the best epoch: of the lowest validation loss, by default.

    Same network, objective, recipe and thread count give the same weights, bit by bit, also
    where the run was cut off and went on from its state. Recurrent networks train on one thread.

    Args:
        network: trained in place; left in evaluation mode with the best weights.
        objective: the loss, the windows it is taken on and those that decide when to stop.
        recipe: settings.
        on_epoch: told about each pass as it ends.
        hooks: others that take part.
        state: of an earlier run with the same arguments; it goes on from there.
        build: how the network is made ready.
        placement: where the work is done; one process by default.

    Raises:
        BadInput: no examples, or a loss that is not finite.
        NoGradients: weights were put away by an offloading that is for inference.
        Usage: settings that cannot be, or not together.
    """
    if not len(objective) or recipe.epochs < 1:
        raise BadInput("nothing to train on: examples and epochs must both be at least one")
    refuse_inference_offload(network)
    cuda, where = device_of(network).type == "cuda", placement or Alone()
    with apart(recipe.seed, rank=where.rank, cuda=cuda), pool_of(threads_for(network)):
        run = Run(network, objective, recipe, hooks, build, where)
        try:
            if state is not None:
                run.go_on_from(state)
            run.tell("on_start")
            while not run.over:
                on_epoch(run.one_epoch())
        finally:
            run.finish()
        run.placement.load(network, run.best)
    network.eval()
    return Fit(tuple(run.epochs), run.step, run.skipped, run.stopped)


def threads_for(network: nn.Module) -> int:
    """Threads to train with: one where a layer is recurrent, else what torch is set to.

    The steps of a recurrent layer are too small to share out: on two cores an LSTM of 64 units
    learns nearly four times as fast on one thread as on two.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    return 1 if recurrent else torch.get_num_threads()


def device_of(network: nn.Module) -> torch.device:
    """Where its weights are."""
    return next((one.device for one in network.parameters()), torch.device("cpu"))


class Run:
    """What changes while a network is trained.

    Attributes:
        network: as it was given, with names of its own; ``model``: what is called forward.
        step: optimizer steps so far, of ``steps`` at the most; ``skipped``: of those, in vain.
        epochs: passes so far; ``best``: weights after the best of them.
        stages: how the network was made ready, in order.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        recipe: Recipe,
        hooks: Hooks,
        build: Build,
        placement: Placement,
    ) -> None:
        self.network, self.objective, self.recipe, self.hooks = network, objective, recipe, hooks
        self.placement = placement
        self.criteria = parse_criteria(recipe.early_stop, recipe.patience)
        refuse_out_of_range(recipe, objective, placement)
        refuse_illegal(features_of(recipe, network, placement) | build.features)
        built = assemble(network, objective.helper, recipe, build, placement)
        self.model, self.optimizer = built.model, built.optimizer
        self.stages, self._undo = built.stages, list(built.undo)
        self.cuda = device_of(network).type == "cuda"
        device = "cuda" if self.cuda else "cpu"
        self.stepper = Stepper(
            self.model, objective, recipe, placement, built.trained, self.optimizer, device
        )
        if recipe.precision != "fp32":
            self._undo.append(answers_in_float32(self.model))
        self.steps = recipe.epochs * math.ceil(len(objective) / recipe.batch)
        self.schedule = Schedule(self.optimizer, recipe, self.steps)
        self.average = Average(network, recipe.average) if recipe.average else None
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.rows = torch.empty(0, dtype=torch.int64)  # of the pass under way, as visited
        self.epochs: list[Epoch] = []
        self.best = placement.weights(network)
        self.step = self.skipped = self.pass_step = 0
        self.stopped = ""

    @property
    def over(self) -> bool:
        """Every epoch was run, or enough of them were no better, or somebody said enough."""
        return bool(self.stopped) or len(self.epochs) >= self.recipe.epochs

    def stop(self, reason: str) -> None:
        """End after the step at hand."""
        self.stopped = self.stopped or reason

    def one_epoch(self) -> Epoch:
        """Finish the pass under way, or make a whole one, and validate it."""
        number = len(self.epochs) + 1
        training_loss = self.one_pass()
        loss, figures = self.validate()
        if not math.isfinite(loss):
            raise BadInput(f"the validation loss of epoch {number} is not finite")
        earlier = [epoch for epoch in self.epochs if self.hooks.counts(epoch.number)]
        counts = self.hooks.counts(number)
        epoch = Epoch(number, training_loss, loss, best=False, figures=figures)
        best = self.placement.agree(counts and self.criteria.is_best(epoch, earlier))
        epoch = Epoch(number, training_loss, loss, best, figures)
        self.epochs.append(epoch)
        if best or not counts or not any(one.best for one in self.epochs):
            self.best = self.kept_weights()
        reason = self.criteria.exhausted([*earlier, epoch] if counts else earlier, number)
        if self.placement.agree(bool(reason)) and number < self.recipe.epochs:
            self.stop(reason or "another process stopped")
        self.tell("on_epoch", epoch)
        return epoch

    def validate(self) -> tuple[float, dict[str, float | None]]:
        """Loss and other figures, of the averaged weights where there are any."""
        with ExitStack() as stack:
            if self.average is not None:
                stack.enter_context(self.average.in_place(self.network))
            loss = self.objective.validation_loss(self.network)
            figures = getattr(self.objective, "figures", None)
            return loss, {} if figures is None else dict(figures(self.network))

    def kept_weights(self) -> dict[str, Tensor]:
        if self.average is None:
            return self.placement.weights(self.network)
        with self.average.in_place(self.network):
            return self.placement.weights(self.network)

    def one_pass(self) -> float:
        """Every training window once, from where an earlier run left the pass; mean loss."""
        self.network.train()
        if not len(self.rows):
            self.rows = torch.randperm(len(self.objective), generator=self.order)
            self.stepper.forget()
            self.pass_step = 0
        windows = self.rows.split(self.recipe.batch)[self.pass_step :]
        if (announce := getattr(self.objective, "coming", None)) is not None:
            announce(self.stepper.asked_for(windows))
        for window in windows:
            self.one_step(window)
            if self.stopped:
                break
        self.rows = self.rows[:0]
        return self.stepper.mean()

    def one_step(self, window: Int64[Tensor, " n"]) -> None:
        """Step, schedule, average, tell: in this order."""
        if self.stepper.step(window):
            self.schedule.step()
            if self.average is not None:
                self.average.update(self.network)
        else:
            self.skipped += 1
        self.step += 1
        self.pass_step += 1
        if self.hooks.after_step is not None:
            self.hooks.after_step(self.network, self.step, self.steps)
        for callback in self.hooks.callbacks:
            callback.on_step(self)
        if self.hooks.enough is not never and self.placement.agree(self.hooks.enough()):
            self.stop("enough was said")

    def tell(self, moment: str, *details: Any) -> None:  # noqa: ANN401
        for callback in self.hooks.callbacks:
            getattr(callback, moment)(self, *details)

    def finish(self) -> None:
        """Tell everybody, and take off what is not the network's own."""
        try:
            self.tell("on_end")
        finally:
            for undo in reversed(self._undo):
                undo()
            self._undo.clear()

    def state(self) -> State:
        """Everything that decides how the run goes on, in memory of its own."""
        return State.from_dict(own_memory(self.live_state().as_dict()))

    def live_state(self) -> State:
        """The same, tensors of the run itself: copy them before the next step changes them."""
        at = self.stepper
        total, seen = at.so_far()
        position = Position(
            self.step, self.pass_step, self.rows, total, seen, self.skipped, self.stopped
        )
        return State(
            epochs=tuple(self.epochs),
            position=position,
            weights=self.placement.live_weights(self.network),
            helper=dict(self.objective.helper.state_dict()),
            best=self.best,
            optimizer=self.placement.optimizer_state(self.network, self.optimizer),
            schedule=self.schedule.state(),
            scaler={} if at.scaler is None else at.scaler.state_dict(),
            random={"order": self.order.get_state(), **generators(cuda=self.cuda)},
            average={} if self.average is None else self.average.state(),
            callbacks={one.name: one.state() for one in self.hooks.callbacks if one.name},
        )

    def go_on_from(self, state: State) -> None:
        """Take up an earlier run where it was."""
        self.placement.load(self.network, state.weights)
        self.objective.helper.load_state_dict(state.helper)
        self.placement.load_optimizer(self.network, self.optimizer, own_memory(state.optimizer))
        self.schedule.restore(state.schedule)
        if self.stepper.scaler is not None:
            self.stepper.scaler.load_state_dict(state.scaler)
        if self.average is not None:
            self.average.restore(state.average)
        self.order.set_state(state.random["order"])
        self.epochs, self.best = list(state.epochs), dict(state.best)
        at = state.position
        self.step, self.pass_step, self.rows = at.step, at.pass_step, at.order
        if self.placement.rank == 0:  # a sum over all processes, so one of them has it
            self.stepper.total, self.stepper.seen = at.total, at.seen
        self.skipped, self.stopped = at.skipped, at.stopped
        for callback in self.hooks.callbacks:
            if callback.name in state.callbacks:
                callback.restore(state.callbacks[callback.name])
        go_on_drawing(state.random, self.recipe.seed, self.placement.rank, self.step)
