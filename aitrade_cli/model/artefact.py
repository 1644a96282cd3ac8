"""The artefact: a network and its card in one file, `.pt` or `.onnx`.

Nothing here imports torch before it meets torch weights, so that a process which
only runs ONNX starts in a third of a second.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.model.archive import pack
from aitrade_cli.model.card import Card
from aitrade_cli.model.card_data import card_to_dict

if TYPE_CHECKING:
    import torch

FORMAT: Final = 1  # raised when an older reader could no longer understand the file
METADATA_KEY: Final = "aitrade"  # in an ONNX file's metadata_props
EXTRA_MEMBER: Final = "extra/aitrade.json"  # in a `.pt2` or TorchScript archive
PROTOBUF_MAX: Final = (1 << 31) - 1


class TooLargeForOnnx(BadInput):
    """Protobuf cannot hold 2 GiB or more in one message."""

    default_hint = "keep this model as `.pt`"

    def __init__(self, size: int) -> None:
        super().__init__(f"an ONNX file of `{size}` bytes is past the 2 GiB that protobuf can hold")


@dataclass(frozen=True, slots=True, eq=False)
class TorchWeights:
    """Weights for an architecture that the card names."""

    state_dict: dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """A serialized ModelProto, self-contained, without our own metadata entry."""

    proto_bytes: bytes


@dataclass(frozen=True, slots=True)
class Exported:
    """A `torch.export` archive (`.pt2`) that was rebuilt from checked members."""

    pt2_bytes: bytes


@dataclass(frozen=True, slots=True)
class Script:
    """A TorchScript archive. Read, never written by us: TorchScript is deprecated."""

    archive_bytes: bytes


@dataclass(frozen=True, slots=True)
class NativePackage:
    """A `.pt2` that holds a library compiled for one processor, without our card.

    As data it is harmless. Only `runtimes.aoti` opens it, after it knows who built it.
    """

    package_bytes: bytes


Network = TorchWeights | OnnxGraph | Exported | Script | NativePackage


@dataclass(frozen=True, slots=True, eq=False)
class Artefact:
    """A network with everything needed to run, judge and rebuild it.

    Attributes:
        card: what goes in, what comes out, how it is judged, how it came to be.
        network: the weights or the graph.
        sha256: of the bytes it was read from; `None` where it was just made.
        name: the file's name, or ``-``.
        arch_given: the user named the architecture on the command line, so that a factory
            of their own may be imported. A file can never set it.
        native_trusted: the user vouched for the native library inside, or this process
            built it. A file can never set it.
    """

    card: Card
    network: Network
    sha256: str | None = None
    name: str = "-"
    arch_given: bool = False
    native_trusted: bool = False


def dump(artefact: Artefact) -> bytes:
    """The file's bytes. The same content gives the same bytes.

    `.pt` for torch weights (it loads with `torch.load(weights_only=True)`), ONNX with
    the card in `metadata_props` for a graph, else the archive with one member more.

    Raises:
        TooLargeForOnnx: the graph and its card reach 2 GiB.
    """
    network = artefact.network
    if isinstance(network, TorchWeights):
        return dump_weights(artefact.card, network)
    text = card_to_text(artefact.card)
    if isinstance(network, OnnxGraph):
        return with_metadata(network.proto_bytes, METADATA_KEY, text)
    if isinstance(network, Exported):
        return with_extra(network.pt2_bytes, text)
    if isinstance(network, NativePackage):
        return with_extra(network.package_bytes, text)
    return with_extra(network.archive_bytes, text)


def dump_weights(card: Card, network: TorchWeights) -> bytes:
    import torch  # a worker that only dumps ONNX never comes here

    names: dict[str, str] = {}
    data = {"format": FORMAT, **canonical(card_to_dict(card), names, bytes_as_tensor)}
    data["state_dict"] = {
        names.setdefault(name, name): own_storage(tensor)
        for name, tensor in network.state_dict.items()
    }
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


def own_storage(tensor: torch.Tensor) -> torch.Tensor:
    import torch  # reached only with a tensor in hand

    # A view would drag the whole tensor it was cut from into the file.
    tensor = tensor.detach().cpu()
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    # Axes of length 0 or 1 may have any stride; the usual one makes equal files equal.
    usual = torch.empty(tensor.shape, device="meta").stride()
    return (tensor if whole else tensor.contiguous().clone()).as_strided(tensor.shape, usual)


def bytes_as_tensor(data: bytes) -> torch.Tensor:
    # Protocol 2 pickles bytes as text, half as large again; a tensor is its own member.
    import torch  # reached only while a `.pt` is written

    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def bytes_as_base64(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode("ascii")}


def canonical(value: Any, names: dict[str, str], on_bytes: Any) -> Any:  # noqa: ANN401
    """Fresh containers, one object a distinct string, no numpy scalars.

    Pickle writes a second reference where it meets the same object again, so without
    this equal cards could give different bytes.
    """
    if isinstance(value, Mapping):
        return {names.setdefault(k, k): canonical(v, names, on_bytes) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item, names, on_bytes) for item in value]
    if isinstance(value, str):
        return names.setdefault(value, value)
    if isinstance(value, bytes):
        return on_bytes(value)
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(f"a card holds plain data only, not {type(value).__name__}")


def card_to_text(card: Card) -> str:
    """The card as one line of JSON; bytes are base64."""
    data = {"format": FORMAT, **canonical(card_to_dict(card), {}, bytes_as_base64)}
    # ASCII: a file name in the history need not be valid Unicode.
    return json.dumps(data, separators=(",", ":"))


def with_metadata(proto_bytes: bytes, key: str, value: str) -> bytes:
    """Append one `metadata_props` entry to a serialized ModelProto.

    Protobuf merges repeated fields of concatenated messages, so nothing is parsed.

    Raises:
        TooLargeForOnnx: the sum reaches 2 GiB.
    """
    entry = field(1, key.encode()) + field(2, value.encode())
    data = proto_bytes + field(14, entry)
    if len(data) > PROTOBUF_MAX:
        raise TooLargeForOnnx(len(data))
    return data


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def with_extra(archive: bytes, text: str) -> bytes:
    """The archive with our card as an extra file, as torch calls it."""
    import zipfile

    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        root = members.namelist()[0].split("/")[0]
        contents = {name: members.read(name) for name in members.namelist()}
    return pack({**contents, f"{root}/{EXTRA_MEMBER}": text.encode()})
