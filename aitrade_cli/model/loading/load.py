"""One door for every model file: sniff, vet, read."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aitrade_cli import files
from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import (
    EXTRA_MEMBER,
    Artefact,
    Exported,
    NativePackage,
    Script,
    TorchWeights,
)
from aitrade_cli.model.card import Arch, Card, Step
from aitrade_cli.model.loading.limits import Limits, TooLarge, limits_from_environment
from aitrade_cli.model.loading.members import Members, read_members
from aitrade_cli.model.loading.native_package import is_native_package, read_package
from aitrade_cli.model.loading.own import (
    bytes_of_tensor,
    card_of,
    card_of_text,
    is_own,
    weights_of,
)
from aitrade_cli.model.loading.pickled_module import (
    PickledModule,
    check_trust,
    refuse,
    run_trusted,
    wanted_names,
)
from aitrade_cli.model.loading.plain_pickle import WantsPython
from aitrade_cli.model.loading.sniff import Kind, NotAModel, sniff


class NeedsArch(BadInput):
    """Bare weights do not say which network they belong to."""

    default_hint = "pass `--arch package.module:factory`, or the name of a built-in one"

    def __init__(self, name: str) -> None:
        super().__init__(f"`{name}` holds weights and no network")


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller said about one file."""

    data: bytes
    name: str
    arch: str | None
    trust: str | None
    folder: Path | None
    limits: Limits


def load(
    data: bytes,
    *,
    name: str = "-",
    arch: str | None = None,
    trust_pickle: str | None = None,
    trust_native: str | None = None,
    folder: Path | None = None,
) -> Artefact:
    """Read a model of any kind we know, running nothing that the file brings.

    Args:
        data: the whole file.
        name: what messages call it.
        arch: a built-in name or ``package.module:factory``, which is imported; its config
            may follow as JSON: ``lstm{"features": 20}``.
        trust_pickle: sha256 of a pickled module that may run its code; kept in the history.
        trust_native: sha256 of a compiled package whose native library may run; another
            file than that stays as untrusted as it is.
        folder: where the file lies, for ONNX external data; `None` for stdin.

    Raises:
        BadInput: empty, damaged, too large, or no model (`NotAModel`, `Truncated`, …).
        Refused: it would run code or leave its folder (`PickledModule`, `NativeCode`, …).
    """
    limits = limits_from_environment()
    if len(data) > limits.file_bytes:
        raise TooLarge(f"`{name}` is {len(data)} bytes, more than {limits.file_bytes}")
    kind = sniff(data)
    request = Request(data, name, arch, trust_pickle, folder, limits)
    if trust_pickle is not None:
        check_trust(trust_pickle, data)
    artefact = READERS[kind](request)
    sha256 = files.sha256(data)
    trusted = trust_native is not None and trust_native.lower() == sha256
    artefact = replace(artefact, sha256=sha256, name=name, native_trusted=trusted)
    return artefact if arch is None else with_arch(artefact, arch)


def with_arch(artefact: Artefact, arch: str) -> Artefact:
    """The artefact with the architecture that the user named; its config stays where none is."""
    # Imports torch, which an ONNX file does without.
    from aitrade_cli.model.factory import named

    given, known = named(arch), artefact.card.arch
    if known is not None and not given.config:
        given = Arch(given.name, known.config)
    return replace(artefact, card=replace(artefact.card, arch=given), arch_given=True)


def from_onnx(request: Request) -> Artefact:
    from aitrade_cli.model.loading.onnx_safety import read_onnx  # imports onnx, `.pt` does not

    graph, card = read_onnx(request.data, request.folder, request.limits)
    return Artefact(card, graph)


def from_safetensors(request: Request) -> Artefact:
    # Imports torch, which an ONNX file does without.
    from aitrade_cli.model.loading.safetensors_file import read_safetensors

    return from_weights(read_safetensors(request.data, request.limits), request)


def from_pickle(request: Request) -> Artefact:
    if request.trust is None:
        raise refuse(request.data, request.data)
    return from_trusted(request, wanted_names(request.data))


def from_zip(request: Request) -> Artefact:
    members = read_members(request.data, request.limits)
    if "models/model.json" in members or "archive_format" in members:
        return from_exported(request, members)
    if "constants.pkl" in members:
        return from_script(request, members)
    if "data.pkl" in members:
        return from_saved(request, members)
    raise NotAModel(f"`{request.name}` is a zip that holds no model")


def from_saved(request: Request, members: Members) -> Artefact:
    # Imports torch, which an ONNX file does without.
    from aitrade_cli.model.loading.torch_zip import read_saved

    try:
        value = read_saved(members, request.limits)
    except WantsPython as error:
        if request.trust is None:
            raise refuse(members["data.pkl"], request.data) from error
        return from_trusted(request, wanted_names(members["data.pkl"]))
    return from_object(value, request)


def from_object(value: Any, request: Request) -> Artefact:
    if is_own(value):
        card = card_of(value, bytes_of_tensor)
        return Artefact(card, TorchWeights(weights_of(value)))
    return from_weights(weights_of(value), request)


def from_trusted(request: Request, wanted: tuple[str, ...]) -> Artefact:
    # Kept for good: whoever gets the artefact later sees that a pickle was run for it.
    artefact = from_object(run_trusted(request.data), request)
    step = trust_step(request.trust or "", wanted)
    return replace(artefact, card=artefact.card.with_step(step))


def trust_step(sha256: str, wanted: tuple[str, ...]) -> Step:
    return Step("trust-pickle", {"sha256": sha256, "wanted": list(wanted)}, {}, {}, None)


def from_weights(weights: dict[str, Any], request: Request) -> Artefact:
    if request.arch is None:
        raise NeedsArch(request.name)
    # Imports torch and every architecture, which an ONNX file does without.
    from aitrade_cli.model.wrap import wrap_weights

    return wrap_weights(weights, request.arch)


def from_exported(request: Request, members: Members) -> Artefact:
    if is_native_package(members):
        card = own_card(members, request.limits)
        package = read_package(members, card)
        assert card is not None  # `read_package` refuses one without
        return Artefact(card, NativePackage(package))
    # Imports torch.export, a second of work that no other file needs.
    from aitrade_cli.model.loading.pt2 import read_card, vet_program

    try:
        archive, card = vet_program(members, request.limits, files.sha256(request.data))
    except PickledModule as error:
        if request.trust is None:
            raise
        step = trust_step(request.trust, error.wanted)
        return Artefact(read_card(members, request.limits).with_step(step), Exported(request.data))
    return Artefact(own_card(members, request.limits) or card, Exported(archive))


def from_script(request: Request, members: Members) -> Artefact:
    # Imports torch, which an ONNX file does without.
    from aitrade_cli.model.loading.script import vet_script

    archive, card = vet_script(members)
    return Artefact(own_card(members, request.limits) or card, Script(archive))


def own_card(members: Mapping[str, bytes], limits: Limits) -> Card | None:
    text = members.get(EXTRA_MEMBER)
    return None if text is None else card_of_text(text, limits)


READERS: Mapping[Kind, Callable[[Request], Artefact]] = {
    Kind.ZIP: from_zip,
    Kind.PICKLE: from_pickle,
    Kind.SAFETENSORS: from_safetensors,
    Kind.ONNX: from_onnx,
}
