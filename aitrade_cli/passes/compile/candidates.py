"""Every backend's artefact, built and compared with the source, but not yet timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.errors import AitradeError
from aitrade_cli.fidelity.cases import Case, input_shape
from aitrade_cli.fidelity.outputs import Remembered
from aitrade_cli.fidelity.parity import Parity, complaint, output_spread, try_case, try_parity
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.compilation.graphs import prepared
from aitrade_cli.model.compilation.interface import Backend
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.sample import Evidence

Say = Callable[[str], None]
GRAPHS: Final = frozenset(("onnxruntime", "openvino", "tensorrt"))


@dataclass(frozen=True, slots=True)
class Compiled:
    """One backend in one precision.

    Attributes:
        name: what reports call it, e.g. ``openvino bfloat16``.
        made: ready to run; None where there is none.
        ships: it runs in a fresh process without compiling again.
        compile_seconds: to build it, and for Inductor its first calls.
        parity: against the source; for a backend that compiles each shape anew, only at the
            batches that are timed.
        flips: share of the choosing windows decided otherwise; None without a rule or bars.
        graphs: graphs that Dynamo compiled while it was compared; None elsewhere.
        failed: why there is none, or why it cannot be run.
        absent: the machine or the kind of file lacks what the backend needs.
    """

    name: str
    backend: str
    precision: str
    made: Artefact | None = field(default=None, repr=False)
    ships: bool = False
    compile_seconds: float | None = None
    parity: Parity | None = None
    flips: float | None = None
    graphs: int | None = None
    failed: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Yard:
    """What candidates are built from and compared with."""

    source: Artefact
    running: Remembered
    evidence: Evidence
    windows: Float32[np.ndarray, "few time feature"]
    rows: Float[np.ndarray, "rows feature"] | None  # real ones, before the evaluation rows
    flips: Flips | None
    batches: tuple[int, ...]
    seed: int
    exported: dict[str, Artefact | AitradeError] = field(default_factory=dict)

    def graph(self) -> Artefact:
        """The source as a rewritten ONNX graph, exported once for every engine.

        Raises:
            AitradeError: it cannot be exported.
        """
        if "graph" not in self.exported:
            try:
                self.exported["graph"] = prepared(self.source, self.windows)
            except AitradeError as error:
                self.exported["graph"] = error
        found = self.exported["graph"]
        if isinstance(found, AitradeError):
            raise found
        return found


def build_one(yard: Yard, backend: Backend, precision: str) -> Compiled:
    """Build, run and compare one candidate. What goes wrong is a finding."""
    name = f"{backend.name} {precision}" if len(backend.precisions) > 1 else backend.name
    blank = Compiled(name, backend.name, precision, ships=backend.ships)
    began = time.perf_counter()
    try:
        source = yard.graph() if backend.name in GRAPHS else yard.source
        made = backend.build(source, yard.windows, precision)
        built = time.perf_counter() - began
        return compared(yard, blank, made, built)
    except Exception as error:  # compilers fail with whatever the model made them fail with
        words = complaint(error)
        return Compiled(name, backend.name, precision, failed=f"{type(error).__name__}: {words}")


def compared(yard: Yard, blank: Compiled, made: Artefact, seconds: float) -> Compiled:
    """The candidate with its parity and its flips."""
    running, graphs = Remembered(start(made)), None
    if blank.ships:
        parity = try_parity(yard.running, running, yard.source.card, yard.rows, seed=yard.seed)
    else:
        from aitrade_cli.model.runtimes.eager import graphs_compiled  # imports torch

        before, began = graphs_compiled(), time.perf_counter()
        parity = parity_at_batches(yard, running)
        seconds += time.perf_counter() - began
        graphs = graphs_compiled() - before
    flips = None if yard.flips is None or parity.broken else yard.flips.share(running)
    return Compiled(
        blank.name,
        blank.backend,
        blank.precision,
        made,
        blank.ships,
        seconds,
        parity,
        flips,
        graphs,
    )


def parity_at_batches(yard: Yard, running: Remembered) -> Parity:
    """Parity where every shape costs a compilation: at the batches that will be timed."""
    shape = input_shape(yard.source.card)
    spread = None if yard.rows is None else output_spread(yard.running, shape, yard.rows)
    found = []
    for batch in yard.batches:
        rows = np.arange(batch) % len(yard.windows)
        window = np.ascontiguousarray(yard.windows[rows])
        kind = "synthetic" if yard.rows is None else "real"
        case = Case(f"batch {batch}", kind, batch, window.shape[1], window)
        found.append(try_case(case, yard.running, running, spread))
    return Parity(tuple(found), spread, None)
