"""A search whose trials cost nothing; other processes import this, so it imports little."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitrade_cli.errors import BadInput
from aitrade_cli.search.answers import Answer, OnEpoch
from aitrade_cli.search.objectives import Goal
from aitrade_cli.search.space import Choice, Range, Space
from aitrade_cli.search.study import Study

SPACE = Space(
    (Range("rate", 1e-4, 1e-1, log=True), Range("width", 1, 64), Choice("kind", ("x", [1, 2])))
)
LOSS = (Goal("loss", "minimize"),)
EPOCHS = 3


@dataclass(frozen=True)
class Bowl:
    """The loss is least at a width of 20 and the kind ``x``.

    Attributes:
        refuses: widths below it have no answer.
        dies_at: the width at which the process is killed, in another process only.
    """

    refuses: int = 0
    dies_at: int = 0

    def open(self) -> Bowl:
        return self

    def __call__(self, values: Mapping[str, Any], on_epoch: OnEpoch) -> Answer:
        if values["width"] < self.refuses:
            raise BadInput(f"a width of {values['width']} is too small")
        if values["width"] >= self.dies_at > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = abs(values["width"] - 20) / 50 + values["rate"] + (values["kind"] != "x")
        for epoch in range(1, EPOCHS + 1):
            if on_epoch(epoch, loss + 1 / epoch):
                return Answer((loss + 1 / epoch,), {}, epoch, EPOCHS, pruned=True)
        return Answer((loss,), {"loss": loss}, EPOCHS, EPOCHS)


def study_in(path: Path, **details: Any) -> Study:
    return Study(path, **{"space": SPACE, "goals": LOSS, "key": {"recipe": "a"}, **details})


def proposals(study: Study) -> list[dict[str, Any]]:
    return [SPACE.values_of(trial.params) for trial in study.trials]
