"""What tests of training share."""

from __future__ import annotations

from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.run import Run
from aitrade_cli.training.state import Epoch, State


class AfterEachPass(Callback):
    """Takes the state after each pass."""

    def __init__(self) -> None:
        self.states: list[State] = []

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        del epoch
        self.states.append(run.state())
