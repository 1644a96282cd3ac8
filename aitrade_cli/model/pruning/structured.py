"""Remove whole units: the network becomes narrower, and nothing else changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from aitrade_cli.model.architectures import create
from aitrade_cli.model.architectures.transformer import Transformer
from aitrade_cli.model.card import Arch
from aitrade_cli.model.pruning.allocation import Ranked, allot
from aitrade_cli.model.pruning.configs import resized
from aitrade_cli.model.pruning.groups import Side, Untouched, cuts_of
from aitrade_cli.model.pruning.residual import narrow
from aitrade_cli.model.pruning.scores import Scores
from aitrade_cli.model.surgery import RECORD, Cut, as_record, cut

STREAM: Final = "residual stream"


@dataclass(frozen=True, slots=True)
class LayerCut:
    """Units of one group, before and after."""

    name: str
    units_before: int
    units_after: int


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """A narrower network.

    Attributes:
        network: a new module; the one it was cut from is as it was.
        arch: rebuilds it: a config with other widths, or the factory with a record of cuts.
        layers: every group that was cut or could have been.
        untouched: layers that cannot be cut, with reasons.
    """

    network: nn.Module
    arch: Arch
    layers: tuple[LayerCut, ...]
    untouched: tuple[Untouched, ...]

    @property
    def units_before(self) -> int:
        return sum(layer.units_before for layer in self.layers)

    @property
    def units_after(self) -> int:
        return sum(layer.units_after for layer in self.layers)


def prune_structured(
    network: nn.Module,
    arch: Arch,
    share: float,
    scores: Scores,
    round_to: int = 8,
    *,
    original: Mapping[str, int] | None = None,
) -> Pruned:
    """Remove the least important units of every kind.

    Units that are read together go together: gates of an LSTM or GRU, heads of an attention,
    channels that a shortcut adds up. The transformer's residual stream keeps the directions in
    which it moves most.

    Args:
        network: not changed.
        arch: rebuilds it.
        share: of the units of each kind to remove, in (0, 1).
        scores: of this very network, from `importance`.
        round_to: widths become multiples of it.
        original: units of each group before any pruning, where ``share`` is meant of those.

    Raises:
        BadShareOfUnits: ``share`` is out of its range.
    """
    kept = allot(scores.ranked, share, round_to, original)
    kept = apart(arch, scores.ranked, kept)
    small = copy.deepcopy(network).eval()
    shapes = {name: tuple(value.shape) for name, value in small.state_dict().items()}
    names = [(one.group.name, one.group.units) for one in scores.ranked]
    layers = [LayerCut(name, units, kept[name]) for name, units in names]
    chosen = [(one.group, one.best(kept[one.group.name])) for one in scores.ranked]
    cuts = cuts_of([(group, best) for group, best in chosen if len(best) < group.units], shapes)
    cut(small, cuts)
    if scores.stream is not None and isinstance(small, Transformer):
        width = stream_width(scores.stream.width, share, round_to, original)
        layers.append(LayerCut(STREAM, scores.stream.width, width))
        state = narrow(small, scores.stream, width) if width < scores.stream.width else None
    else:
        state = None
    if arch.foreign:
        return Pruned(small, recorded(arch, cuts), tuple(layers), scores.untouched)
    found = small.state_dict() if state is None else state
    narrower = resized(arch, found)
    return Pruned(rebuilt(narrower, found), narrower, tuple(layers), scores.untouched)


def apart(arch: Arch, ranked: Sequence[Ranked], kept: Mapping[str, int]) -> dict[str, int]:
    """Keep the two ends of a TCN's convolved shortcut of different width.

    Where they are equal, its config means a shortcut without weights.
    """
    widths = dict(kept)
    if arch.name != "tcn":
        return widths
    enters = {reader: one.group.name for one in ranked for reader in tensors(one, "reads")}
    for depth in range(len(arch.config.get("channels", ()))):
        after = next((one for one in ranked if shortcut(depth) in tensors(one, "makes")), None)
        before = enters.get(f"blocks.{depth}.first.conv.weight")
        entering = widths[before] if before else arch.config["features"]
        if after is not None and widths[after.group.name] == entering:
            widths[after.group.name] += 1
    return widths


def shortcut(depth: int) -> str:
    return f"blocks.{depth}.shortcut.weight"


def tensors(one: Ranked, side: Side) -> set[str]:
    return {member.tensor for member in one.group.members if member.side == side}


def stream_width(
    width: int, share: float, round_to: int, original: Mapping[str, int] | None
) -> int:
    wanted = (1.0 - share) * (original or {}).get(STREAM, width)
    step = round_to if width >= 4 * round_to else 2
    return int(min(width, max(step, round(wanted / step) * step, 2)))


def recorded(arch: Arch, cuts: list[Cut]) -> Arch:
    """The factory's architecture with these cuts behind the ones it has already."""
    config: dict[str, Any] = dict(arch.config)
    return Arch(arch.name, {**config, RECORD: [*config.get(RECORD, []), *as_record(cuts)]})


def rebuilt(arch: Arch, state: Mapping[str, Tensor]) -> nn.Module:
    """The built-in network of this config with these weights, as a loader would build it."""
    with torch.device("meta"):
        network = create(arch)
    weights = {name: value.detach().clone() for name, value in state.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval()


def units_of(layers: tuple[LayerCut, ...]) -> dict[str, int]:
    """Units of each group before the cut, for the next round's ``original``."""
    return {layer.name: layer.units_before for layer in layers}
