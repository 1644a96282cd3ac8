"""Rounds of removing units and training what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.model.pruning import LayerCut, Pruned, Scores, importance, prune_structured
from aitrade_cli.model.pruning.counting import parameters
from aitrade_cli.passes.prune.job import Cutting, Job, flips_of
from aitrade_cli.passes.prune.report import LayerLine, RoundLine
from aitrade_cli.passes.prune.settings import Settings

Say = Callable[[str], None]


class NothingToRemove(BadInput):
    """No layer of the network has units that can be removed."""

    default_hint = "`--sparsity` sets single weights to zero in any network"

    def __init__(self, name: str, reasons: Sequence[str]) -> None:
        super().__init__(f"`{name}` has no units that can be removed: {'; '.join(reasons)}")


def remove_units(job: Job, settings: Settings, say: Say) -> Cutting:
    """Remove the asked share in equal ratios a round, the scores taken anew in each."""
    wanted = settings.structured or 0.0
    rounds = settings.rounds if job.tutor is not None else 1
    small, arch = job.network, job.arch
    original: dict[str, int] | None = None
    lines: list[RoundLine] = []
    scores = first = importance(small, arch, job.ranking, shape=job.shape)
    pruned: Pruned | None = None
    for number in range(1, rounds + 1):
        share = 1.0 - (1.0 - wanted) ** (number / rounds)
        say(f"round {number} of {rounds}: removing {share:.0%} of the units")
        if number > 1:
            scores = importance(small, arch, job.ranking, shape=job.shape)
        if not scores.ranked:
            raise NothingToRemove(
                job.source.name, [f"{one.name}: {one.reason}" for one in scores.untouched]
            )
        pruned = prune_structured(small, arch, share, scores, original=original)
        original = original or {one.name: one.units_before for one in pruned.layers}
        small, arch = pruned.network, pruned.arch
        lines.append(train_round(job, settings, pruned, number, rounds, share, say))
    assert pruned is not None  # there is at least one round
    return Cutting(
        network=small,
        arch=arch,
        ranking=scores.basis,
        layers=layer_lines(original or {}, pruned.layers, first),
        untouched=tuple(f"{one.name}: {one.reason}" for one in pruned.untouched),
        rounds=tuple(lines),
        notes=notes_of(first),
    )


def train_round(
    job: Job, settings: Settings, pruned: Pruned, number: int, rounds: int, share: float, say: Say
) -> RoundLine:
    """Count flips, train in place, count again."""
    cut = flips_of(job, pruned.network)
    trained, epochs = None, 0
    if job.tutor is not None:
        last = number == rounds
        most = settings.epochs if last else max(1, settings.epochs // 3)
        epochs = job.tutor.teach(pruned.network, most, say)
        trained = flips_of(job, pruned.network)
    return RoundLine(number, share, parameters(pruned.network), cut, trained, epochs)


def layer_lines(
    original: dict[str, int], layers: Sequence[LayerCut], first: Scores
) -> tuple[LayerLine, ...]:
    """Units of every group, and how much of the dense parent's score as many can hold."""
    scores = {one.group.name: one.score for one in first.ranked}
    lines = []
    for layer in layers:
        held = None
        score = scores.get(layer.name)
        if score is not None and score.sum() > 0:
            held = float(np.sort(score)[::-1][: layer.units_after].sum() / score.sum())
        elif score is None and first.stream is not None:
            energy = first.stream.energy
            held = float(energy[: layer.units_after - 1].sum() / max(energy.sum(), 1e-30))
        lines.append(LayerLine(layer.name, original[layer.name], layer.units_after, held))
    return tuple(lines)


def notes_of(scores: Scores) -> tuple[str, ...]:
    if scores.basis == "taylor":
        return ("ranked by what the loss would change without a unit (Taylor, first order)",)
    return ("no bars to rank on: units are ranked by the size of their weights, data unseen",)
