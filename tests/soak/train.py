"""Kill a training at random moments: what goes on from its checkpoints ends the same, bit by bit.

python -m tests.soak.train --kills 100 --seed 1
"""

from __future__ import annotations

import argparse
import math
import os
import random as python_random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.checkpoints.folder import LEFT_BEHIND, CheckpointFolder
from aitrade_cli.training.checkpoints.keeper import Keeper, Policy
from aitrade_cli.training.checkpoints.layout import read
from aitrade_cli.training.checkpoints.writer import Writer
from aitrade_cli.training.precision import PRECISIONS, has_units
from aitrade_cli.training.recipe import Precision, Recipe
from aitrade_cli.training.run import Hooks, Run, pursue
from aitrade_cli.training.state import State
from tests.soak.alike import differences

ROWS, HELD_OUT, WIDTH = 250, 60, 8
RECIPE: Final = Recipe(
    epochs=12,
    batch=16,
    accumulate=2,
    precision="bf16",
    schedule="restarts",
    average=0.9,
    early_stop="loss:min:patience=4",
    seed=3,
)
KEY: Final = {"recipe": "soak"}
EVERY_STEPS: Final = 7
STEPS_IN_A_PASS: Final = math.ceil(ROWS / RECIPE.batch)
PATIENCE_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.0005
Change = Callable[[State], State]
# When a training is killed: some time after it wrote another checkpoint, while it writes one, or
# any time from its start on, which is mostly before the first.
Moment = Literal["later", "writing", "any"]
MOMENTS: Final[Mapping[Moment, int]] = {"later": 6, "writing": 3, "any": 1}


def faithful(state: State) -> State:
    """What was saved, as it was."""
    return state


class Noisy:
    """Rows with noise from every generator that a run may draw from."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.helper: nn.Module = nn.Identity()
        self.inputs = torch.randn(ROWS + HELD_OUT, WIDTH, generator=draw)
        self.answers = self.inputs[:, :3].sum(dim=1, keepdim=True).sin()

    def __len__(self) -> int:
        return ROWS

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        shift = python_random.gauss(0, 0.01)
        shift += float(np.random.normal(0, 0.01))
        picked = torch.from_numpy(rows)
        return (network(self.inputs[picked] + shift) - self.answers[picked]).square().mean()

    def validation_loss(self, network: nn.Module) -> float:
        network.eval()
        with torch.no_grad():
            found = network(self.inputs[ROWS:])
        network.train()
        return (found - self.answers[ROWS:]).square().mean().item()


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(WIDTH, 24), nn.ReLU(), nn.Dropout(0.2), nn.LayerNorm(24), nn.Linear(24, 1)
        )


class Witness(Callback):
    """Writes down everything that a run ended with."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_end(self, run: Run) -> None:
        """Nothing where an exception ended it: then there is no end to compare."""
        if run.over:
            writer = Writer()
            writer.save(self.path, run.state().as_dict(), {"step": run.step})
            writer.wait()


def train(
    folder: Path, result: Path, change: Change = faithful, precision: Precision = "bf16"
) -> None:
    """Train, or go on from what is in the folder; leave the end in ``result``."""
    torch.set_num_threads(1)
    checkpoints = CheckpointFolder(folder, keep=2)
    found = checkpoints.newest_whole(KEY)
    state = None if found is None else change(State.from_dict(found.state))
    keeper = Keeper(
        checkpoints,
        KEY,
        Policy(every_steps=EVERY_STEPS),
        damaged=[path for path, _ in found.passed_over] if found else (),
    )
    hooks = Hooks(callbacks=(Witness(result), keeper))
    recipe = replace(RECIPE, precision=precision)
    pursue(network(), Noisy(), recipe, hooks=hooks, state=state)


def in_a_child(
    work: Callable[[], None],
    seconds: float | None = None,
    ready: Callable[[], bool] = lambda: True,
) -> bool:
    """Run in a process that is killed some time after it was ready.

    Returns:
        Whether it ended by itself before, and well.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if seconds is None:
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise RuntimeError(f"the training ended with status {status}")
        return True
    until = time.monotonic() + PATIENCE_SECONDS
    while not ready() and time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True  # it was over first
        time.sleep(LOOK_SECONDS)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status == 0


def ready_for(moment: Moment, folder: Path) -> Callable[[], bool]:
    """Whether a training has come so far, asked of the folder that it writes into."""
    if moment == "any":
        return lambda: True
    kind = "*.ckpt" if moment == "later" else LEFT_BEHIND
    before = set(folder.glob(kind))
    return lambda: not before.issuperset(folder.glob(kind))


@dataclass(frozen=True, slots=True)
class Trial:
    """One training, killed some times, and its end.

    Attributes:
        steps: of the newest checkpoint after each kill; 0 before the first one.
        torn: kills that left a file behind which was being written.
        differences: places where the end is not that of the undisturbed training.
    """

    precision: Precision
    steps: tuple[int, ...]
    torn: int
    differences: tuple[str, ...]


def trial(
    folder: Path,
    reference: Any,
    moments: Sequence[tuple[Moment, float]],
    change: Change = faithful,
    precision: Precision = "bf16",
) -> Trial:
    """Kill a training some seconds after each of some moments, then let it end."""
    result = folder / "end.ckpt"
    checkpoints = CheckpointFolder(folder / "checkpoints")
    steps: list[int] = []
    torn = 0
    work = partial(train, checkpoints.path, result, change, precision)
    for moment, seconds in moments:
        before = set(checkpoints.path.glob(LEFT_BEHIND))
        if in_a_child(work, seconds, ready_for(moment, checkpoints.path)):
            break
        torn += bool(set(checkpoints.path.glob(LEFT_BEHIND)) - before)
        found = checkpoints.newest_whole(KEY)
        steps.append(0 if found is None else found.step)
    result.unlink(missing_ok=True)
    in_a_child(work)
    return Trial(precision, tuple(steps), torn, tuple(differences(reference, read(result).tree)))


def forgetful(state: State) -> State:
    """What a careless resume would do: it goes on, but with fresh noise."""
    return replace(state, random={**state.random, "torch": torch.get_rng_state()})


def undisturbed(folder: Path, precision: Precision) -> tuple[Any, float]:
    """The end of a training that nobody kills, and the seconds that one takes."""
    # Once in this process: what is compiled and imported on first use, no child has to.
    train(folder / "here", folder / "end.ckpt", precision=precision)
    started = time.monotonic()
    in_a_child(lambda: train(folder / "child", folder / "again.ckpt", precision=precision))
    seconds = time.monotonic() - started
    one, other = read(folder / "end.ckpt").tree, read(folder / "again.ckpt").tree
    if found := differences(one, other):
        raise RuntimeError(f"two undisturbed trainings differ in {found[:3]}")
    return one, seconds


def soak(kills: int, seed: int, folder: Path, change: Change = faithful) -> list[Trial]:
    """Trials until so many trainings were killed, one to three times each, in every precision."""
    random = Random(seed)
    formats: list[Precision] = [one for one in PRECISIONS if has_units(one, "cpu")]
    references: dict[Precision, tuple[Any, float]] = {}
    trials: list[Trial] = []
    while (done := sum(len(one.steps) for one in trials)) < kills:
        precision = formats[len(trials) % len(formats)]
        if precision not in references:
            references[precision] = undisturbed(folder / precision, precision)
        reference, seconds = references[precision]
        times = min(kills - done, random.choice((1, 1, 2, 3)))
        # What goes on carelessly has to go on from something for that to be seen.
        kinds: list[Moment] = [
            moment_of(random) if change is faithful else "later" for _ in range(times)
        ]
        moments: list[tuple[Moment, float]] = [
            (kind, random.uniform(0.0, longest(kind, seconds / times))) for kind in kinds
        ]
        trials.append(trial(folder / str(len(trials)), reference, moments, change, precision))
    return trials


def moment_of(random: Random) -> Moment:
    return random.choices(list(MOMENTS), list(MOMENTS.values()))[0]


def longest(moment: Moment, seconds: float) -> float:
    """To wait for after a moment; a file is being written for a millisecond or two."""
    return 0.002 if moment == "writing" else seconds


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--careless", action="store_true", help="forget the noise at each resume")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as place:
        change = forgetful if asked.careless else faithful
        trials = soak(asked.kills, asked.seed, Path(place), change)
    steps = [step for one in trials for step in one.steps]
    different = [one for one in trials if one.differences]
    sys.stdout.writelines(f"{one.steps}: {one.differences[:3]}\n" for one in different)
    inside = sum(step % STEPS_IN_A_PASS > 0 for step in steps)
    formats = ", ".join(dict.fromkeys(one.precision for one in trials))
    sys.stdout.write(
        f"{len(steps)} kills in {len(trials)} trainings ({formats}), checkpoints of"
        f" {len(set(steps))} different steps up to {max(steps)}, {inside} of them inside a pass;"
        f" {steps.count(0)} kills before the first, {sum(one.torn for one in trials)} while a file"
        f" was written: {len(different)} ended otherwise than the undisturbed one\n"
    )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
