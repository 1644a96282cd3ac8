"""From a shape to a trained network: cut or fresh, then taught by the source, rung by rung."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.architectures import ARCHITECTURES, FIXED_TIME
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights
from aitrade_cli.model.card import Arch
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.network import build
from aitrade_cli.model.onnx_recent import keep_recent
from aitrade_cli.model.pruning import importance, prune_structured
from aitrade_cli.model.runtimes.eager import TorchModule
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.optimize.shapes import MOST, STEP, Kind, Shape
from aitrade_cli.training.distillation import Lessons, lessons_of, recover
from aitrade_cli.training.loop import Recipe, fresh
from aitrade_cli.training.material import Material
from aitrade_cli.training.students import arch_for

RUNGS: Final = (2, 4, 8)  # epochs of each; every rung goes on from the best so far
BATCH: Final = 128
CUT_RATE: Final = 1e-3
STUDENT_RATE: Final = 3e-3
RANKED_ON: Final = 512  # windows that units are ranked on


class Recent(nn.Module):
    """A network that is shown the latest steps of each window only."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.network = network
        self.steps = steps

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Tensor:
        return self.network(window[:, -self.steps :])


@dataclass
class Seedling:
    """A network on its way.

    Attributes:
        shape: that it has.
        network: as it is now.
        arch: rebuilds it.
        parent: whose card it keeps.
        size: its parameters over the source's, times the share of the window it looks at.
        steps: rows it looks back on; None where it is the whole window.
        rungs: of training that it may get.
        flips: the least so far, on the choosing windows.
        best: its weights then.
    """

    shape: Shape
    network: nn.Module
    arch: Arch
    parent: Artefact
    size: float
    steps: int | None
    rungs: int
    flips: float = 1.0
    best: dict[str, Tensor] | None = None

    @property
    def shown(self) -> nn.Module:
        """The network as it is asked: with the whole window."""
        return self.network if self.steps is None else Recent(self.network, self.steps)

    def exported(self) -> Artefact:
        """ONNX of the best weights, taking the source's input."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
        card = replace(self.parent.card, arch=self.arch, runs_on=None)
        weights = {name: value.detach() for name, value in self.network.state_dict().items()}
        named = replace(
            self.parent,
            card=card,
            network=TorchWeights(weights),
            name=self.shape.name,
            sha256=None,
        )
        made, _ = export_onnx(named, exporter="auto")
        if self.steps is None or not isinstance(made.network, OnnxGraph):
            return made
        return replace(made, network=keep_recent(made.network, self.steps))


class Untouched(Seedling):
    """The source itself, of whatever kind of file it is; it needs no training."""

    def __init__(self, shape: Shape, source: Artefact) -> None:
        super().__init__(shape, nn.Identity(), Arch("source"), source, 1.0, None, 0)

    def exported(self) -> Artefact:
        """The source as ONNX."""
        if isinstance(self.parent.network, OnnxGraph):
            return self.parent
        made, _ = export_onnx(self.parent, exporter="auto")
        return made


@dataclass(frozen=True, slots=True)
class Nursery:
    """What networks are made from.

    Attributes:
        source: the artefact that came in.
        material: bars to teach on; None where nothing can be taught.
        lessons: the source's answers on them.
        why_not: why there is nothing to teach on, or nothing to cut.
        flips: the source's answers on the bars kept for choosing.
        seed: of first weights and of the order of windows.
    """

    source: Artefact
    material: Material | None
    lessons: Lessons | None
    why_not: str
    flips: Flips | None
    seed: int

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Which kinds of network can be made here."""
        if self.material is None or self.flips is None:
            return ("dense",)  # nothing to teach on, or nothing to choose by
        arch = self.source.card.arch
        if arch is None or arch.name not in ARCHITECTURES:
            return ("dense", "student")
        recent: tuple[Kind, ...] = () if arch.name in FIXED_TIME else ("recent",)
        return ("dense", *recent, "pruned", "student")

    def forgettable(self, limit: float) -> float:
        """Share of the window, on the grid of proposals, that the source need not look at.

        Args:
            limit: share of the choosing windows that may then be decided otherwise.
        """
        if "recent" not in self.kinds or self.flips is None:
            return 0.0
        source = build(self.source)
        found = 0.0
        for turn in range(1, round(MOST / STEP) + 1):
            shape = Shape("recent", forgotten=turn * STEP)
            steps = shape.steps(self.flips.windows.shape[1])
            shown = source if steps is None else Recent(source, steps).eval()
            if self.flips.share(TorchModule(shown, threads=1)) > limit:
                break
            found = shape.forgotten
        return found

    def plant(self, shape: Shape) -> Seedling:
        """Cut the source, or make a fresh student.

        Raises:
            BadInput: there is no such network of this source.
        """
        if shape.kind == "dense" or self.material is None:
            return Untouched(shape, self.source)
        arch, before = self.source.card.arch, parameters(build(self.source))
        match shape.kind:
            case "student":
                arch = arch_for(shape.student, round(before * shape.size), self.source.card)
                network = fresh(arch, self.seed)
            case _ if arch is None:
                raise BadInput(f"`{self.source.name}` names no architecture to cut")
            case "pruned":
                network, arch = self.cut(arch, shape)
            case _:
                network = build(self.source)
        steps = shape.steps(self.material.preprocessing.window)
        size = parameters(network) / before * (1 - shape.forgotten)
        return Seedling(shape, network, arch, self.source, size, steps, len(RUNGS))

    def cut(self, arch: Arch, shape: Shape) -> tuple[nn.Module, Arch]:
        network = build(self.source)
        pruned = prune_structured(
            network, arch, shape.share, importance(network, arch, self.ranking_windows(shape))
        )
        return pruned.network, pruned.arch

    def ranking_windows(self, shape: Shape) -> Float[np.ndarray, "n time feature"]:
        """Training windows spread over the whole span, as far back as the network will look."""
        assert self.material is not None  # `plant` is the only way here
        windows = self.material.training.windows
        spread = windows[:: max(1, len(windows) // RANKED_ON)]
        steps = shape.steps(self.material.preprocessing.window)
        return np.ascontiguousarray(spread if steps is None else spread[:, -steps:])

    def look(self, seedling: Seedling) -> float:
        """Share of the choosing windows decided otherwise now, 0..1; the best weights are kept."""
        network = seedling.shown.eval()
        flips = 0.0 if self.flips is None else self.flips.share(TorchModule(network, threads=1))
        if seedling.best is None or flips < seedling.flips:
            seedling.flips = flips
            seedling.best = {
                k: v.detach().clone() for k, v in seedling.network.state_dict().items()
            }
        return flips

    def train(self, seedling: Seedling, rung: int, deadline_s: float | None = None) -> float:
        """Teach one rung; the share of the choosing windows still decided otherwise, 0..1."""
        assert self.material is not None  # a seedling without material has no rungs
        assert self.lessons is not None
        if seedling.best is not None:
            seedling.network.load_state_dict(seedling.best)
        rate = STUDENT_RATE if seedling.shape.kind == "student" else CUT_RATE
        recipe = Recipe(
            epochs=RUNGS[rung - 1],
            batch=BATCH,
            learning_rate=rate / rung,
            weight_decay=1e-3,
            patience=RUNGS[rung - 1],
            seed=self.seed + rung,
        )
        recover(seedling.shown, self.lessons, self.material, recipe, deadline_s=deadline_s)
        return self.look(seedling)


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def nursery_of(
    source: Artefact, find_material: Callable[[], Material], flips: Flips | None, seed: int
) -> Nursery:
    """Ask the source once for its answers on all training windows.

    Args:
        source: any artefact.
        find_material: finds the bars to teach on.
        flips: for choosing.
        seed: of everything random.
    """
    if not isinstance(source.network, TorchWeights):
        why = "the source holds no torch weights, so it can be neither cut nor copied from"
        return Nursery(source, None, None, why, flips, seed)
    if flips is None:
        why = "only the source as it is was tried: there are no bars, or no rule, to count flips by"
        return Nursery(source, None, None, why, None, seed)
    try:
        material = find_material()
    except BadInput as error:
        why = f"only the source as it is was tried: {error}"
        return Nursery(source, None, None, why, flips, seed)
    with torch.inference_mode():
        lessons = lessons_of(build(source), material)
    return Nursery(source, material, lessons, "", flips, seed)
