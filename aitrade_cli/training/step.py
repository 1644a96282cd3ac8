"""One optimizer step: the gradient of a whole window, however it is cut up, and what it changes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from jaxtyping import Int64
from torch import Tensor, nn
from torch.optim import Optimizer

from aitrade_cli.training.goal import Objective
from aitrade_cli.training.placement import Placement
from aitrade_cli.training.precision import casting, scaler_of
from aitrade_cli.training.recipe import Recipe


class Stepper:
    """Takes steps; knows nothing of epochs.

    Attributes:
        total: sum of the training losses since `forget`, each times its windows; ``seen``: those.
        scaler: of the loss, in float16.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        recipe: Recipe,
        placement: Placement,
        trained: Sequence[nn.Parameter],
        optimizer: Optimizer,
        device: str,
    ) -> None:
        self.model, self.objective, self.recipe = model, objective, recipe
        self.placement, self.trained, self.optimizer = placement, trained, optimizer
        thrifty = placement.world == 1 and not recipe.compile
        self.casting = casting(recipe.precision, device, thrifty=thrifty)
        self.scaler = scaler_of(recipe.precision, device)
        self.waits = device == "cpu"
        self.total, self.seen = 0.0, 0
        self._losses: list[tuple[Tensor, int]] = []  # not yet waited for, on a GPU

    def step(self, window: Int64[Tensor, " n"]) -> bool:
        """Differentiate, unscale, clip, step; False where a gradient overflowed in float16."""
        self.optimizer.zero_grad()
        self.differentiate(window)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)  # else the scaled gradient would be clipped
        self.placement.clip(self.trained, self.recipe.clip_norm)
        if self.scaler is None:
            self.optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before

    def differentiate(self, window: Int64[Tensor, " n"]) -> None:
        """Leave the gradient of the mean loss over the window."""
        mine = self.placement.rows(window)
        self.seen += len(mine)
        if self.placement.world == 1 and self.recipe.accumulate == 1:
            with self.casting():
                loss = self.objective.loss(self.model, mine.numpy())
            self.backward(loss)
            self.note(loss, len(window))
            return
        parts = self.parts_of(mine, window)
        for number, part in enumerate(parts, start=1):
            with self.placement.sync(self.model, last=number == len(parts)):
                with self.casting():
                    share = self.share(part, window)
                # Gradients are averaged over the processes; the shares are to be added up.
                self.backward(share * self.placement.world if self.placement.world > 1 else share)
            self.note(share, len(window))

    def asked_for(self, windows: Sequence[Int64[Tensor, " _"]]) -> Iterator[Tensor]:
        """The rows of each loss that steps on these windows will take in this process."""
        for window in windows:
            mine = self.placement.rows(window)
            whole = self.placement.world == 1 and self.recipe.accumulate == 1
            yield from (
                one for one in ((mine,) if whole else self.parts_of(mine, window)) if len(one)
            )

    def parts_of(
        self, mine: Int64[Tensor, " k"], window: Int64[Tensor, " n"]
    ) -> Sequence[Int64[Tensor, " _"]]:
        """This process' rows in parts to be computed one after the other."""
        if self.placement.world == 1:
            return mine.split(math.ceil(len(mine) / self.recipe.accumulate))
        # As many in every process, for each forward pass may gather weights from all of them.
        most = math.ceil(len(window) / self.placement.world)
        return mine.tensor_split(min(self.recipe.accumulate, most))

    def share(self, part: Int64[Tensor, " k"], window: Int64[Tensor, " n"]) -> Tensor:
        """What these rows contribute to the mean loss over the window."""
        if not len(part):  # every process takes part in every exchange
            return self.objective.loss(self.model, window[:1].numpy()) * 0.0
        share = getattr(self.objective, "share", None)
        if share is not None:
            return share(self.model, part.numpy(), window.numpy())
        return self.objective.loss(self.model, part.numpy()) * (len(part) / len(window))

    def backward(self, loss: Tensor) -> None:
        self.placement.backward(
            self.model, loss if self.scaler is None else self.scaler.scale(loss)
        )

    def note(self, loss: Tensor, weight: int) -> None:
        """Keep a loss for the mean; on a GPU without waiting for it."""
        if self.waits:
            self.total += loss.item() * weight
        else:
            self._losses.append((loss.detach(), weight))

    def gather(self) -> None:
        """Wait for the losses that were noted."""
        for loss, weight in self._losses:
            self.total += loss.item() * weight
        self._losses.clear()

    def forget(self) -> None:
        """A new pass begins."""
        self._losses.clear()
        self.total, self.seen = 0.0, 0

    def so_far(self) -> tuple[float, int]:
        """`total` and `seen` over all processes."""
        self.gather()
        return self.placement.total(self.total), round(self.placement.total(float(self.seen)))

    def mean(self) -> float:
        """Mean loss since `forget`, over all processes; NaN where nothing was seen."""
        total, seen = self.so_far()
        return total / seen if seen else math.nan
