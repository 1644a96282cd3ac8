"""What is pruned, and the bars it is ranked, taught and watched with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.model.artefact import Artefact, NativePackage, OnnxGraph, TorchWeights
from aitrade_cli.model.card import Arch, Card, Decision
from aitrade_cli.model.network import NativeProgram, NoArchitecture, build
from aitrade_cli.passes.prune.report import LayerLine, RoundLine
from aitrade_cli.passes.prune.settings import Settings
from aitrade_cli.passes.prune.tutor import Tutor, tutor_of
from aitrade_cli.passes.sample import Evidence, calibration_windows, gather
from aitrade_cli.training.loop import logits_of

RANKING_WINDOWS: Final = 256


class NotPrunable(BadInput):
    """The model is a finished graph; units are cut out of torch weights."""

    def __init__(self, artefact: Artefact) -> None:
        kind = "an ONNX graph" if isinstance(artefact.network, OnnxGraph) else "a traced program"
        super().__init__(
            f"`{artefact.name}` is {kind}; units and weights are cut out of torch weights",
            hint=parent_hint(artefact.card),
        )


def parent_hint(card: Card) -> str:
    """Which file to prune instead."""
    parent = card.history[-1].parent_sha256 if card.history else None
    if parent is None:
        return "prune the `.pt` it was made from, then export that"
    made = card.history[-1].command
    return (
        f"prune the file that `{made}` made it from, sha256 {parent[:16]}…, then `{made}` again;"
        " `aitrade inspect` shows the whole history"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is pruned, and what it is ranked, taught and watched with.

    Attributes:
        network: the dense parent; never changed.
        ranking: windows to rank on; None where there are none.
        watching: later windows, to count flips on; None where there are none.
    """

    source: Artefact
    arch: Arch
    network: nn.Module
    evidence: Evidence
    ranking: Float32[np.ndarray, "n time feature"] | None
    watching: Float32[np.ndarray, "m time feature"] | None
    shape: tuple[int, int]
    tutor: Tutor | None


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """What came out of the rounds, before it is judged."""

    network: nn.Module
    arch: Arch
    ranking: str
    layers: tuple[LayerLine, ...]
    untouched: tuple[str, ...]
    rounds: tuple[RoundLine, ...]
    notes: tuple[str, ...]


def set_up(source: Artefact, settings: Settings) -> Job:
    """Build the network, gather the bars, find a teacher where training was asked for."""
    if isinstance(source.network, NativePackage):
        raise NativeProgram(source)  # it names the parent
    if not isinstance(source.network, TorchWeights):
        raise NotPrunable(source)
    arch = source.card.arch
    if arch is None:
        raise NoArchitecture(source.name)
    network = build(source)
    evidence = gather(source.card, settings.data, settings.symbol)  # bad bars are told at once
    tutor = tutor_of(source.card, network, settings) if settings.finetune else None
    shape = input_shape(source.card)
    ranking = watching = None
    if evidence.sample is not None:
        earlier, later = calibration_windows(evidence.sample, shape.window)
        ranking, watching = pieces(earlier if len(earlier) else later), pieces(later)
    if tutor is not None and watching is None:
        watching = pieces(tutor.watching)  # these decide when to stop: what is seen flatters
    return Job(
        source, arch, network, evidence, ranking, watching, (shape.window, shape.features), tutor
    )


def pieces(windows: np.ndarray) -> Float32[np.ndarray, "n time feature"] | None:
    """The latest of them, in memory of their own; None where there are none."""
    if not len(windows):
        return None
    return np.ascontiguousarray(windows[-RANKING_WINDOWS:], dtype=np.float32)


def flips_of(job: Job, network: nn.Module) -> float | None:
    """Share of the watched windows that are decided otherwise; None where that cannot be said."""
    decision = job.source.card.decision
    if job.watching is None or decision is None:
        return None
    return flips_between(decision, job.network, network, job.watching)


def flips_between(
    decision: Decision,
    before: nn.Module,
    after: nn.Module,
    windows: Float32[np.ndarray, "n time feature"],
) -> float:
    positions = [decision.positions_of(logits_of(one, windows)) for one in (before, after)]
    return float((positions[0] != positions[1]).mean())
