"""How a network is stored and run: number formats, runtimes and threads, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.errors import AitradeError
from aitrade_cli.inference.latency import LatencyReport, measure
from aitrade_cli.inference.variants import FULL, Effort, Variant
from aitrade_cli.model.artefact import Artefact, OnnxGraph, dump
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.onnx_graph import arrays, parse
from aitrade_cli.model.quantization.prepare import prepare
from aitrade_cli.model.runtimes import available, start
from aitrade_cli.model.runtimes.wish import has_bfloat16
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.optimize.points import Point, quickest
from aitrade_cli.passes.optimize.shapes import DENSE
from aitrade_cli.passes.quantize.candidates import Candidate, Workshop, build_all
from aitrade_cli.passes.quantize.settings import Settings as QuantizeSettings

Say = Callable[[str], None]
SOURCE: Final = "source"
FLOAT: Final = "float32"
STORED: Final = "as stored"  # a source that is quantized already
# What single command gives a form; the rest is `quantize`.
COMMANDS: Final = {FLOAT: "compile", STORED: "compile"}
LEAST_COVERED: Final = 0.95  # of the weights, for a graph to be called INT8
FEW_NUMBERS: Final = 64  # shapes and axes are integers in every graph
IN_A_RACE: Final = 12  # processes at once; each holds its libraries in memory


@dataclass(frozen=True, slots=True)
class Form:
    """One way to run one graph."""

    graph: str  # number format
    runs_on: RunsOn

    @property
    def name(self) -> str:
        runtime = self.runs_on.runtime
        if runtime == "openvino":
            runtime = f"{runtime} {self.runs_on.precision}"
        threads = self.runs_on.threads
        return f"{self.graph}, {runtime}, {threads} thread{'s' * (threads > 1)}"


@dataclass(frozen=True, slots=True)
class Made:
    """A network in one form, ready to be timed."""

    name: str
    form: Form
    artefact: Artefact
    graph: OnnxGraph
    flips: float | None


@dataclass(frozen=True, slots=True)
class Yard:
    """What every form of every network is tried on.

    Attributes:
        source: bytes of the artefact that came in; every race has it beside.
        source_arch: factory that its bytes need, where it is the user's own.
        windows: real inputs to time with.
        calibration: real inputs to calibrate on; None where there are none.
        flips: answers of the source on bars kept for choosing; None without a rule.
        threads: counts to try, the smallest first.
        seed: of the order of timing.
        effort: of a race that is to be believed; those that only choose take less.
    """

    source: bytes
    source_arch: str | None
    windows: Float32[np.ndarray, "n time feature"]
    calibration: Float[np.ndarray, "m time feature"] | None
    flips: Flips | None
    threads: tuple[int, ...]
    seed: int
    effort: Effort = FULL


def make_all(exported: Artefact, yard: Yard, wanted: Sequence[str] | None, say: Say) -> list[Made]:
    """Every form of an exported network that can be built and run here, on the fewest threads.

    Args:
        exported: an ONNX artefact in float32.
        yard: what flips are counted on.
        wanted: names of the forms to make; None makes all.
        say: told what is being built.
    """
    made: list[Made] = []
    for candidate in candidates(exported, yard, say):
        for runs_on in runtimes_for(candidate.name, min(yard.threads)):
            form = Form(candidate.name, runs_on)
            if candidate.graph is None or (wanted is not None and form.name not in wanted):
                continue
            one = try_form(form, exported, candidate, yard)
            if one is not None:
                made.append(one)
    return made


def candidates(exported: Artefact, yard: Yard, say: Say) -> Iterator[Candidate]:
    """The float graph, then what `quantize --int8` would build."""
    graph = exported.network
    if not isinstance(graph, OnnxGraph):
        raise TypeError(f"{exported.name} is no ONNX graph")
    shop = Workshop(
        prepare(graph, yard.windows[:2]), yard.windows, yard.calibration, "no bars", yard.flips
    )
    flips = None if yard.flips is None else yard.flips.share(start(exported))
    name = FLOAT if is_float(graph) else STORED
    yield Candidate(name, lambda _: graph, graph, flips=flips)
    for one in build_all(shop, QuantizeSettings(seed=yard.seed), say):
        if one.covered is not None and one.covered.int8_share >= LEAST_COVERED:
            yield replace(one, name=f"{one.name} INT8")


def is_float(graph: OnnxGraph) -> bool:
    """Whether every weight that takes room is float32."""
    held = arrays(parse(graph.proto_bytes).graph).values()
    return all(one.dtype == np.float32 for one in held if one.size > FEW_NUMBERS)


def runtimes_for(graph: str, threads: int) -> list[RunsOn]:
    """ONNX Runtime runs all of them; OpenVINO knows no dynamic INT8 of recurrent layers."""
    found = [RunsOn("onnxruntime", threads)]
    if available()["openvino"] is None and not graph.startswith("dynamic"):
        found.append(RunsOn("openvino", threads, "float32"))
        if has_bfloat16():
            found.append(RunsOn("openvino", threads, "bfloat16"))
    return found


def try_form(form: Form, exported: Artefact, candidate: Candidate, yard: Yard) -> Made | None:
    """Start it once and count its flips; None where the runtime refuses the graph."""
    if candidate.graph is None:
        return None
    card = replace(exported.card, runs_on=form.runs_on)
    artefact = replace(exported, card=card, network=candidate.graph, name=form.name)
    flips = candidate.flips
    if form.runs_on.runtime != "onnxruntime":
        try:
            running = start(artefact)
            flips = None if yard.flips is None else yard.flips.share(running)
            running.run(yard.windows[:1])
        except AitradeError:
            return None
    return Made(form.name, form, artefact, candidate.graph, flips)


def race(made: Sequence[Made], yard: Yard, effort: Effort, say: Say) -> LatencyReport:
    """The source in eager and every form, at batch 1, one process each, interleaved."""
    variants = [Variant(SOURCE, yard.source, arch=yard.source_arch)]
    variants += [variant_of(one) for one in made]
    return measure(
        variants, windows=yard.windows, effort=effort, control=False, seed=yard.seed, say=say
    )


def variant_of(one: Made) -> Variant:
    runs_on = one.artefact.card.runs_on
    return Variant(
        one.name,
        bare(one.artefact),
        threads=1 if runs_on is None else runs_on.threads,
        network_bytes=len(one.graph.proto_bytes),
    )


def bare(artefact: Artefact) -> bytes:
    """The file without bars and history: the race brings its own windows, the source has both."""
    return dump(replace(artefact, card=replace(artefact.card, sample=None, history=())))


def cost(
    shape: str, made: Sequence[Made], yard: Yard, keep: Callable[[bytes], str], say: Say
) -> list[Point]:
    """Time all forms on the fewest threads, then the quickest few on more of them.

    Args:
        shape: name of the network.
        made: its forms.
        yard: where they race.
        keep: stores an artefact's bytes and names the file.
        say: told what is happening.
    """
    points: list[Point] = []
    effort = yard.effort.choosing()
    for start_at in range(0, len(made), IN_A_RACE):
        group = made[start_at : start_at + IN_A_RACE]
        points += points_of(shape, group, race(group, yard, effort, say), keep)
    more = [count for count in yard.threads if count > min(yard.threads)]
    if points and more:
        chosen = {quickest(points).form, min(points, key=lambda one: one.latency_us).form}
        again = [
            on_threads(one, count) for one in made if one.form.name in chosen for count in more
        ]
        points += points_of(shape, again, race(again, yard, effort, say), keep)
    return points


def on_threads(one: Made, threads: int) -> Made:
    runs_on = replace(one.form.runs_on, threads=threads)
    form = replace(one.form, runs_on=runs_on)
    card = replace(one.artefact.card, runs_on=runs_on)
    return replace(one, name=form.name, form=form, artefact=replace(one.artefact, card=card))


def points_of(
    shape: str, made: Sequence[Made], timed: LatencyReport, keep: Callable[[bytes], str]
) -> list[Point]:
    ran = {each.variant for each in timed.latencies}
    return [
        Point(
            shape=shape,
            form=one.form.name,
            command=COMMANDS.get(one.form.graph, "quantize") if shape == DENSE.name else "",
            runtime=one.form.runs_on.runtime,
            precision=one.form.runs_on.precision,
            threads=one.form.runs_on.threads,
            speedup=timed.speed(one.name).value,
            latency_us=timed.latency(one.name).latency_us_p50,
            size_bytes=len(one.graph.proto_bytes),
            flips=one.flips,
            file=keep(bare(one.artefact)),
        )
        for one in made
        if one.name in ran
    ]
