"""Which runtime runs which model here, and how many of them can be live at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.errors import AitradeError, Usage
from aitrade_cli.inference.rounds import Say
from aitrade_cli.inference.variants import NotRun, Variant
from aitrade_cli.model.artefact import (
    Artefact,
    Exported,
    NativePackage,
    OnnxGraph,
    TorchWeights,
    dump,
)
from aitrade_cli.model.runtimes.start import ON_DEMAND, RUNTIMES, NoSuchRuntime, why_not
from aitrade_cli.model.runtimes.wish import way_of

AUTO: Final = "auto"  # as the artefact's card wishes
TORCH_RUNTIMES: Final = frozenset(("eager", "compile", "aoti", "xla"))
COMPILATIONS_UNASKED: Final = 2  # each takes 10 to 90 seconds; more must be asked for
WORKER_BYTES: Final = {True: 350_000_000, False: 150_000_000}  # with torch inside, and without
MEMORY_SHARE: Final = 0.6  # of what is free; with more the host would swap while measuring


@dataclass(frozen=True, slots=True)
class Entrant:
    """One model in one runtime.

    Attributes:
        model: what reports call it.
        family: position of the torch model that it is compared with besides the first;
            an ONNX file belongs to the torch model before it.
        variant: how it is run, with one thread.
    """

    model: str
    family: int
    variant: Variant

    @property
    def live_bytes(self) -> int:
        """What its process may take, roughly."""
        return WORKER_BYTES[self.variant.runtime in TORCH_RUNTIMES] + 4 * self.variant.size_bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything that will be measured, and what of the wishes cannot be."""

    entrants: tuple[Entrant, ...]
    not_run: tuple[NotRun, ...]
    notes: tuple[str, ...]


def enter(models: Sequence[Artefact], runtimes: Sequence[str], *, cells: int, say: Say) -> Entry:
    """Pair every model with every runtime that runs it; torch models are exported for the others.

    Args:
        models: loaded artefacts.
        runtimes: names, or ``auto`` for each model's own wish; empty takes all that are
            here, ``compile`` only where it would compile at most ``COMPILATIONS_UNASKED``
            times.
        cells: batch sizes times thread counts.
        say: told of each export.

    Raises:
        NoSuchRuntime: a name is none of ours.
        Usage: none of the runtimes runs any of the models.
    """
    known = (AUTO, *RUNTIMES, *ON_DEMAND)
    unknown = next((name for name in runtimes if name not in known), None)
    if unknown is not None:
        raise NoSuchRuntime(unknown)
    wanted, notes = choose(models, runtimes, cells)
    notes = (*notes, *unfulfilled(models))
    entrants: list[Entrant] = []
    not_run: list[NotRun] = []
    family = 0
    for position, (name, artefact) in enumerate(zip(names_of(models), models, strict=True)):
        family = family if isinstance(artefact.network, OnnxGraph) else position
        for runtime, data in files_for(artefact, name, wanted, say):
            if isinstance(data, str):
                not_run.append(NotRun(f"{name} {runtime}", data))
                continue
            arch = artefact.card.arch
            foreign = arch.name if arch is not None and arch.foreign else None
            variant = Variant(
                f"{name} {runtime}",
                dump(data),
                runtime,
                arch=foreign,
                network_bytes=network_bytes(data),
                trust_native=data.sha256 if data.native_trusted else None,
            )
            entrants.append(Entrant(name, family, variant))
    if not entrants:
        reasons = "; ".join(f"`{lost.variant}`: {lost.reason}" for lost in not_run)
        raise Usage(f"nothing can be measured ({reasons})", hint="leave `--runtime` out")
    return Entry(tuple(entrants), tuple(not_run), notes)


def choose(
    models: Sequence[Artefact], runtimes: Sequence[str], cells: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The runtimes to try, and what to say about those left out."""
    if runtimes:
        return tuple(dict.fromkeys(runtimes)), ()
    torch_models = sum(not isinstance(model.network, OnnxGraph) for model in models)
    # To ask for a compiler imports torch, which graphs alone can do without.
    asked = [name for name in RUNTIMES if torch_models or name not in TORCH_RUNTIMES]
    missing = {name: why_not(name) for name in asked}
    here = {name for name, reason in missing.items() if reason is None}
    notes = [
        f"{name} was left out: {reason}" for name, reason in missing.items() if reason is not None
    ]
    compilations = cells * torch_models
    if "compile" in here and compilations > COMPILATIONS_UNASKED:
        here.remove("compile")
        notes.append(
            f"compile was left out: {compilations} compilations of 10 to 90 s each;"
            " `--runtime eager,compile,onnxruntime` asks for them"
        )
    return tuple(name for name in RUNTIMES if name in here), tuple(notes)


def unfulfilled(models: Sequence[Artefact]) -> tuple[str, ...]:
    """What of the models' own wishes this host cannot give."""
    ways = [(name, way_of(model)) for name, model in zip(names_of(models), models, strict=True)]
    return tuple(f"{name} {way.note}" for name, way in ways if way.note)


def names_of(models: Sequence[Artefact]) -> list[str]:
    """What reports call the models: their file names, numbered where two are the same."""
    names = ["stdin" if model.name == "-" else model.name for model in models]
    return [
        name if names.count(name) == 1 else f"{name}#{names[: at + 1].count(name)}"
        for at, name in enumerate(names)
    ]


def files_for(
    artefact: Artefact, name: str, runtimes: Sequence[str], say: Say
) -> list[tuple[str, Artefact | str]]:
    """For each runtime the artefact it opens, or the reason why it cannot."""
    if isinstance(artefact.network, NativePackage):
        from aitrade_cli.model.runtimes.aoti import check_package  # imports torch

        check_package(artefact)  # a library that nobody vouches for ends the bench, unloaded
        return [("aoti", artefact)]
    if AUTO in runtimes:
        own = way_of(artefact).runtime
        runtimes = tuple(dict.fromkeys(own if one == AUTO else one for one in runtimes))
    if isinstance(artefact.network, OnnxGraph):
        graph_runtimes = [one for one in runtimes if one not in TORCH_RUNTIMES]
        if not graph_runtimes:
            return [(one, "torch does not run ONNX graphs") for one in runtimes]
        return [(one, artefact) for one in graph_runtimes]
    found: list[tuple[str, Artefact | str]] = []
    exported: Artefact | str | None = None
    for runtime in runtimes:
        if runtime in TORCH_RUNTIMES:
            found.append((runtime, artefact))
            continue
        if exported is None:
            say(f"exporting {name} to ONNX")
            exported = export(artefact)
        found.append((runtime, exported))
    return found


def export(artefact: Artefact) -> Artefact | str:
    """The model as an ONNX graph, or why it cannot become one."""
    from aitrade_cli.model.export import export_onnx  # brings the exporters in

    try:
        return export_onnx(artefact)[0]
    except AitradeError as error:
        return f"not exported: {error}"


def network_bytes(artefact: Artefact) -> int:
    """Bytes of the weights or of the graph, without the card and the bars inside it."""
    network = artefact.network
    if isinstance(network, TorchWeights):
        return sum(tensor.nbytes for tensor in network.state_dict.values())
    if isinstance(network, OnnxGraph):
        return len(network.proto_bytes)
    if isinstance(network, NativePackage):
        return len(network.package_bytes)
    return len(network.pt2_bytes if isinstance(network, Exported) else network.archive_bytes)


def groups(entrants: Sequence[Entrant], memory_bytes: int) -> list[list[Entrant]]:
    """Families that fit into memory together, the first entrant leading every group.

    All of them in one group where they fit: only what ran in the same rounds can be
    compared without the weather in between.
    """
    room = MEMORY_SHARE * memory_bytes
    leader = entrants[0]
    families: dict[int, list[Entrant]] = {}
    for entrant in entrants:
        families.setdefault(entrant.family, []).append(entrant)
    found: list[list[Entrant]] = [[]]
    for family in families.values():
        # The control arm is a second leader.
        taken = sum(one.live_bytes for one in [leader, leader, *found[-1], *family])
        if found[-1] and taken > room:
            found.append([leader])
        found[-1] += family
    return found
