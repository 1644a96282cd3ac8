"""All graph passes in order, each kept only if the outputs stay."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.fx_passes.batch_norm import fold_batch_norm
from aitrade_cli.model.fx_passes.constants import fold_constants
from aitrade_cli.model.fx_passes.dead import drop_dead
from aitrade_cli.model.fx_passes.repeated import share_repeated
from aitrade_cli.model.fx_passes.report import GraphReport, PassLine
from aitrade_cli.model.fx_passes.tracing import NotTraceable, graph_of
from aitrade_cli.model.network import build

PASSES: Final[tuple[tuple[str, Callable[[fx.GraphModule], int]], ...]] = (
    ("conv-bn", fold_batch_norm),
    ("constants", fold_constants),
    ("repeated", share_repeated),
    ("dead", drop_dead),
)
TOLERANCE: Final = 1e-4  # of the largest |output|, at least of 1: folding rounds anew
EXAMPLES: Final = 3
WINDOW_IF_UNKNOWN: Final = 32


class NoWindow(BadInput):
    """The card does not tell what one window looks like."""

    default_hint = "wrap the model with PREPROCESSING or INPUTS beside its factory"


def fold_graph(
    network: nn.Module, example: Tensor, name: str = "network"
) -> tuple[fx.GraphModule, GraphReport]:
    """Trace a network and rewrite its graph: fewer nodes, the same outputs.

    Conv-BN folding, constant folding, common sub-expressions, dead code. A pass that moves an
    output of the example by more than rounding is undone.

    Args:
        network: in eval mode, of one input; it stays as it is.
        example: a batch of at least two inputs.
        name: for the report.

    Raises:
        NotTraceable: no tracer can take the graph, or it holds only for the example's length.
    """
    module, traced = graph_of(copy.deepcopy(network).eval(), example)
    before = len(module.graph.nodes)
    asked = questions(network, example)
    if not apart(module, asked) <= tolerance(asked):
        raise NotTraceable(f"the graph that {traced} tracing took does not hold at every shape")
    lines: list[PassLine] = []
    for title, rewrite in PASSES:
        tried = copied(module)
        with_shapes(tried, example)
        removed = rewrite(tried)
        delta, note = apart(tried, asked), ""
        if delta <= tolerance(asked):
            module = tried
        else:
            removed, delta, note = 0, 0.0, f"undone: it moved an output by {delta:.1g}"
        lines.append(PassLine(title, removed, delta, note))
    module.graph.lint()
    report = GraphReport(name, traced, before, len(module.graph.nodes), tuple(lines))
    return module, report


def copied(module: fx.GraphModule) -> fx.GraphModule:
    with warnings.catch_warnings():
        # Torch copies its own tree specs in a way that it deprecates itself.
        warnings.simplefilter("ignore", FutureWarning)
        return copy.deepcopy(module)


def optimize_graph(artefact: Artefact) -> tuple[Artefact, GraphReport]:
    """The artefact with a rewritten graph, as ONNX.

    ONNX and not torch's own archive: it keeps the time axis of recurrent networks free, runs
    in more places, and the exporter checks it at nine shapes.

    Args:
        artefact: torch weights, an exported program or TorchScript.

    Raises:
        NoWindow: the card does not tell the shape of one window.
        NotTraceable: no tracer can take the graph.
        ExportFailed: no exporter gives a right graph of what came out.
    """
    module, report = fold_graph(build(artefact), example_of(artefact), artefact.name)
    made, _ = export_onnx(artefact, module=module)
    return made, report


def example_of(artefact: Artefact) -> Tensor:
    """Real windows where the artefact has some, else seeded noise."""
    card = artefact.card
    shape = card.inputs[0].shape if len(card.inputs) == 1 else ()
    if len(shape) != 3 or not isinstance(shape[2], int):
        raise NoWindow(f"the model takes `{[list(spec.shape) for spec in card.inputs]}`")
    length = shape[1] if isinstance(shape[1], int) else card.window or WINDOW_IF_UNKNOWN
    if card.sample is not None and len(card.sample.calibration) >= length + EXAMPLES:
        windows = card.sample.calibration.windows(length)[:EXAMPLES]
        return torch.from_numpy(np.array(windows, dtype=np.float32))
    generator = torch.Generator().manual_seed(0)
    return torch.randn((EXAMPLES, length, shape[2]), generator=generator)


def with_shapes(module: fx.GraphModule, example: Tensor) -> None:
    """Write each node's shape beside it; a graph that cannot be walked goes without."""
    try:
        with torch.no_grad():
            ShapeProp(module).propagate(example)
    except Exception:  # the passes then leave alone what they need a shape for
        return


def questions(network: nn.Module, example: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Inputs of several shapes, as far as the network takes them, with its answers.

    A tracer may freeze an axis without a word, so one shape proves nothing.
    """
    tried = [example, example[:1]]
    if example.dim() == 3:
        tried += [example[:, -1:], example[:, example.shape[1] // 2 :]]
        tried.append(torch.cat((example, example[:, :5]), dim=1))
    asked: list[tuple[Tensor, Tensor]] = []
    for window in tried:
        try:
            with torch.no_grad():
                asked.append((window, first_of(network(window))))
        except Exception:  # the network itself does not take this shape
            continue
    return asked


def tolerance(asked: list[tuple[Tensor, Tensor]]) -> float:
    return TOLERANCE * max([1.0, *(float(answer.abs().max()) for _, answer in asked)])


def apart(module: fx.GraphModule, asked: list[tuple[Tensor, Tensor]]) -> float:
    """Largest |difference| of an output; infinite where the graph does not run."""
    try:
        with torch.no_grad():
            found = [(first_of(module(window)) - answer).abs().max() for window, answer in asked]
    except Exception:  # whatever stops it, the pass is not to be kept
        return float("inf")
    return max(map(float, found))


def first_of(output: object) -> Tensor:
    first = output[0] if isinstance(output, tuple | list) else output
    assert isinstance(first, Tensor)
    return first
