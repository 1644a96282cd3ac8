"""Who takes part in a run: told at fixed moments, and with a state of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aitrade_cli.training.run import Run
    from aitrade_cli.training.state import Epoch


class Callback:
    """Does nothing at every moment of a run; override the moments that you need.

    Attributes:
        name: unique in a run; its part of the run's state lies under it.
    """

    name: str = ""

    def on_start(self, run: Run) -> None:
        """Everything is built and an earlier state restored; no step was taken yet."""

    def on_step(self, run: Run) -> None:
        """An optimizer step, the schedule and the average are done; `Run.step` counts from 1."""

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        """A pass over the training windows was validated."""

    def on_end(self, run: Run) -> None:
        """The run is over, or an exception is on its way out."""

    def state(self) -> dict[str, Any]:
        """What it needs to go on: tensors and plain data only."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
