"""Latency for passes: a quick race to choose a candidate, then the figure that is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from aitrade_cli.files import sha256
from aitrade_cli.inference.latency import FULL, LatencyReport, measure
from aitrade_cli.inference.variants import Effort, Variant
from aitrade_cli.model.artefact import Artefact, OnnxGraph, dump
from aitrade_cli.model.runtimes.wish import way_of

Say = Callable[[str], None]


def race(
    graphs: Mapping[str, OnnxGraph],
    windows: Float32[np.ndarray, "n time feature"],
    *,
    effort: Effort = FULL,
    seed: int,
    say: Say,
) -> LatencyReport:
    """Time ONNX graphs against each other; the first counts as 1. One thread, batch 1."""
    variants = [Variant(name, graph.proto_bytes, "onnxruntime") for name, graph in graphs.items()]
    effort = effort.choosing()
    return measure(variants, windows=windows, effort=effort, control=False, seed=seed, say=say)


def time_pair(
    before: Artefact,
    after: Artefact,
    windows: Float32[np.ndarray, "n time feature"],
    *,
    batches: Sequence[int] = (1,),
    effort: Effort = FULL,
    seed: int,
    say: Say,
) -> LatencyReport:
    """The figure that is reported: source and winner, with a control of the source."""
    variants = [variant_of("before", before), variant_of("after", after)]
    return measure(
        variants,
        batches=batches,
        windows=windows,
        effort=effort,
        control=True,
        seed=seed,
        say=say,
    )


def race_artefacts(
    artefacts: Mapping[str, Artefact],
    windows: Float32[np.ndarray, "n time feature"],
    *,
    batches: Sequence[int],
    effort: Effort = FULL,
    seed: int,
    say: Say,
) -> LatencyReport:
    """Time artefacts against each other, each as its card wishes; the first counts as 1.

    With a control of the first, so that what is slower by noise alone is told apart.
    """
    variants = [variant_of(name, artefact) for name, artefact in artefacts.items()]
    return measure(
        variants,
        batches=batches,
        windows=windows,
        effort=effort.choosing(),
        control=True,
        seed=seed,
        say=say,
    )


def variant_of(name: str, artefact: Artefact) -> Variant:
    """How an artefact is run as it is: as its card wishes, else in eager or ONNX Runtime."""
    known = artefact.card.arch
    named = known.name if known is not None and artefact.arch_given else None
    data = dump(replace(artefact, name=name))
    return Variant(
        name,
        data,
        "auto",
        threads=way_of(artefact).threads,
        arch=named,
        trust_native=sha256(data) if artefact.native_trusted else None,
    )
