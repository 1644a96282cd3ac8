"""The checkpoint file: chunks, then an index, then where the index is; every byte is checked.

    16 bytes   "aitrade-state 1" and a line feed
    chunks     the planes of every tensor, one after the other, each chunk with its CRC-32
    index      JSON: `head`, `tree`, `tensors`
    64 bytes   offset and length of the index, SHA-256 of both and of the index, 16 bytes of end

The index comes last because sizes are known only then, so a file that was cut off has none.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from aitrade_cli.errors import BadInput
from aitrade_cli.files import replacing
from aitrade_cli.training.checkpoints.coding import DTYPES, Chunk, Coder, Unlike, described
from aitrade_cli.training.checkpoints.tree import grown

START: Final = b"aitrade-state 1\n"
END: Final = b"\n aitrade whole\n"
TAIL: Final = struct.Struct("<QQ32s16s")


class NotACheckpoint(BadInput):
    """A file that is something else, or of a later format."""


class DamagedCheckpoint(BadInput):
    """A checkpoint that was cut off or changed."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one checkpoint took.

    Attributes:
        raw_bytes: of the tensors in memory.
        stored_bytes: of the file.
    """

    path: Path
    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Read:
    """What a checkpoint holds: facts about it, and the tree that was written."""

    head: dict[str, Any]
    tree: Any


def write(
    path: Path, head: Mapping[str, Any], tree: object, tensors: Sequence[Tensor], coder: Coder
) -> Written:
    """Put a checkpoint at ``path``: whole, or what was there before.

    Args:
        path: its folder is there.
        head: plain data about the checkpoint, read without the tensors.
        tree: outline of the state, its tensors by number.
        tensors: contiguous, in main memory, nobody changes them meanwhile.
        coder: compresses.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    lines: list[dict[str, Any]] = []
    with replacing(path) as file:
        at = file.write(START)
        for tensor in tensors:
            chunks: list[Chunk] = []
            for chunk, pieces in coder.chunks(tensor):
                for piece in pieces:
                    file.write(piece)
                at += chunk.stored_bytes
                chunks.append(chunk)
            lines.append(described(tensor, chunks))
        said = {"head": dict(head), "tree": tree, "tensors": lines}
        index = json.dumps(said, allow_nan=False, separators=(",", ":")).encode()
        file.write(index)
        file.write(tail_of(at, index))
    raw = sum(tensor.nbytes for tensor in tensors)
    return Written(path, raw, at + len(index) + TAIL.size)


def tail_of(at: int, index: bytes) -> bytes:
    return TAIL.pack(at, len(index), checksum_of(at, index), END)


def checksum_of(at: int, index: bytes) -> bytes:
    return hashlib.sha256(struct.pack("<QQ", at, len(index)) + index).digest()


def read(path: Path) -> Read:
    """Open a checkpoint and check every byte of it; nothing in it is run.

    Raises:
        NotACheckpoint: something else.
        DamagedCheckpoint: cut off or changed since it was written.
        BadInput: the file cannot be read.
    """
    with opened(path) as file:
        at, index = index_in(file)
        file.seek(len(START))
        tensors = tensors_in(file, index["tensors"], at)
        return Read(dict(index["head"]), grown(index["tree"], tensors))


def read_head(path: Path) -> dict[str, Any]:
    """The facts about a checkpoint, without its tensors. Raises what ``read`` does."""
    with opened(path) as file:
        return dict(index_in(file)[1]["head"])


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that starts like ours; what goes wrong inside is told as damage."""
    try:
        with open(path, "rb") as file:
            refuse_another_start(path, file.read(len(START)))
            yield file
    except OSError as error:
        raise BadInput(f"cannot read `{path}`: {error.strerror}") from error
    except Unlike as error:
        raise DamagedCheckpoint(f"`{path}` is damaged: {error}") from error
    except (ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
        raise DamagedCheckpoint(f"`{path}` is damaged: its index makes no sense") from error


def refuse_another_start(path: Path, start: bytes) -> None:
    if start == START:
        return
    if START.startswith(start):
        raise Unlike("it was cut off")
    if start.startswith(START[:-2]):
        raise NotACheckpoint(
            f"`{path}` is a checkpoint of another format",
            hint="go on with the version of aitrade that wrote it",
        )
    raise NotACheckpoint(f"`{path}` is not a checkpoint")


def index_in(file: BinaryIO) -> tuple[int, dict[str, Any]]:
    size = file.seek(0, os.SEEK_END)
    if size < len(START) + TAIL.size:
        raise Unlike("it was cut off")
    file.seek(size - TAIL.size)
    at, length, checksum, end = TAIL.unpack(file.read(TAIL.size))
    if end != END or at + length + TAIL.size != size or at < len(START):
        raise Unlike("it was cut off")
    file.seek(at)
    index = file.read(length)
    if checksum_of(at, index) != checksum:
        raise Unlike("the checksum of its index differs")
    return at, json.loads(index)


def tensors_in(file: BinaryIO, lines: Sequence[Mapping[str, Any]], end: int) -> list[Tensor]:
    coder, tensors = Coder(), []
    for line in lines:
        tensor = empty_of(line)
        chunks = [Chunk(checksum, tuple(lengths)) for checksum, *lengths in line["chunks"]]
        coder.fill(tensor, chunks, file)
        tensors.append(tensor)
    if file.tell() != end:
        raise Unlike("bytes that the index does not name")
    return tensors


def empty_of(line: Mapping[str, Any]) -> Tensor:
    shape, dtype = [int(size) for size in line["shape"]], DTYPES[line["dtype"]]
    if any(size < 0 for size in shape):
        raise Unlike("a shape that cannot be")
    return torch.empty(shape, dtype=dtype)
