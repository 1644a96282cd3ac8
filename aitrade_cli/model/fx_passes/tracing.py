"""From a module to a graph that can be rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import torch
from torch import Tensor, fx, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.export.exporters import quiet
from aitrade_cli.model.runtimes.interface import first_line


class NotTraceable(BadInput):
    """Neither tracer can take the network's graph."""

    default_hint = "a data-dependent `if` has no single graph; move it out of `forward`"


def graph_of(network: nn.Module, example: Tensor) -> tuple[fx.GraphModule, str]:
    """The network as a graph, and the tracer that took it.

    Symbolic tracing keeps modules as nodes and every axis free. Where Python looks at a
    tensor's parts it stops; then `torch.export` takes the operators themselves.

    Args:
        network: in eval mode; it shares its weights with the graph.
        example: a batch of at least two windows.

    Raises:
        NotTraceable: both tracers stopped; the second one's words are in the message.
    """
    try:
        with unchecked():
            return fx.symbolic_trace(network), "symbolic"
    except Exception:  # a tracer fails with whatever `forward` did to its proxies
        pass
    axes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(network, (example,), dynamic_shapes=(axes,))
        return unguarded(program.module()), "export"
    except Exception as error:
        raise NotTraceable(f"the network cannot be traced: {first_line(error)}") from error


def unguarded(module: nn.Module) -> fx.GraphModule:
    """Without the node that refuses other shapes than were traced; parity is tried anyway."""
    assert isinstance(module, fx.GraphModule)  # what `ExportedProgram.module` returns
    for node in list(module.graph.nodes):
        if node.op == "call_module" and "guards" in str(node.target):
            module.graph.erase_node(node)
    module.recompile()
    return module


@contextmanager
def unchecked() -> Iterator[None]:
    """Shape annotations cannot look at a tracer's proxies; where they are checked, they rest."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
