"""What drives a run where DeepSpeed does: its engine in the place of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aitrade_cli.errors import BadInput, Usage


class NotFinite(BadInput):
    """A gradient is no number; DeepSpeed would leave the step out and go on."""

    default_hint = "a lower `--learning-rate`, or look for values in the bars that are no numbers"


class Driven(Optimizer):
    """DeepSpeed's engine where the loop expects an optimizer; all else is the inner one's.

    Args:
        engine: takes the step: clips, updates its part of the weights, gathers the others.
        inner: AdamW; the engine has put one flat part of all weights in their place.
        trained: the network's own weights.
    """

    def __init__(self, engine: Any, inner: Optimizer, trained: Sequence[nn.Parameter]) -> None:  # noqa: ANN401
        # Not the base class' own: the groups and the state are the inner one's.
        self.engine, self.inner, self.trained = engine, inner, tuple(trained)
        self.reached = Reached(self.trained)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.__dict__["inner"], name)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The engine does so itself after each step; offloaded gradients keep their place."""
        del set_to_none

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401
        """One step of all processes.

        Raises:
            NotFinite: the engine left it out.
            Usage: a weight has no part in the loss.
        """
        del closure
        self.reached.all_of_them()
        self.engine.step()
        if self.engine.optimizer.overflow:
            raise NotFinite("the gradient of a step is not finite")

    def whole_state(self, *, keep: bool) -> dict[str, Any]:
        """The state of all processes, numbered as that of one is.

        Args:
            keep: whether this process wants it; every one takes part in gathering.
        """
        whole_of = import_module("deepspeed.utils").safe_get_full_optimizer_state

        told = self.inner.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for number, weight in enumerate(self.trained if told["state"] else ()):
            for name, part in told["state"][0].items():
                whole = part if name == "step" else whole_of(weight, name)
                if keep and whole is not None:
                    state.setdefault(number, {})[name] = whole.detach().to("cpu", copy=True)
        numbers = list(range(len(self.trained)))
        groups = [{**group, "params": numbers} for group in told["param_groups"]]
        return {"state": state, "param_groups": groups} if keep else {}

    def take_part_of(self, state: Mapping[str, Any]) -> None:
        """Put this process' part of a whole state back.

        Raises:
            Usage: a weight has no moments, as it had no part in the loss.
        """
        put = import_module("deepspeed.utils").safe_set_full_optimizer_state

        (mine,) = (part for group in self.inner.param_groups for part in group["params"])
        moments = state["state"]
        if moments and (missing := set(range(len(self.trained))) - moments.keys()):
            raise self.reached.without_a_part(missing)
        parts = {
            name: value if name == "step" else torch.zeros_like(mine, requires_grad=False)
            for name, value in moments.get(0, {}).items()
        }
        groups = [{**group, "params": [0]} for group in state["param_groups"]]
        self.inner.load_state_dict({"state": {0: parts} if parts else {}, "param_groups": groups})
        if not parts:
            return
        # Which part of whose moments lies where: it would find out after its first step.
        self.engine.optimizer._lazy_init_hp_params_optimizer_state()
        for number, weight in enumerate(self.trained):
            for name in parts.keys() - {"step"}:
                put(weight, moments[number][name], name)


class Reached:
    """Which weights the first backward pass came to.

    A weight without a gradient is left alone by one process, and DDP stops at it; DeepSpeed
    would take a gradient of nought and let it decay.
    """

    def __init__(self, weights: Sequence[nn.Parameter]) -> None:
        self.weights, self.missing = weights, set(range(len(weights)))
        self._hooks = [
            weight.register_post_accumulate_grad_hook(
                lambda _, number=number: self.missing.discard(number)
            )
            for number, weight in enumerate(weights)
        ]

    def all_of_them(self) -> None:
        """Look once; the hooks go.

        Raises:
            Usage: a weight was not come to.
        """
        if not self._hooks:
            return
        self.leave()
        if self.missing:
            raise self.without_a_part(self.missing)

    def leave(self) -> None:
        """Take the hooks off. Safe to call twice."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def without_a_part(self, missing: Set[int]) -> Usage:
        """The refusal, with the first of these weights."""
        shape = tuple(self.weights[min(missing)].shape)
        return Usage(
            f"a weight of shape `{shape}` has no part in the loss; DeepSpeed would let it decay",
            hint="freeze it, or `--shard full`",
        )
