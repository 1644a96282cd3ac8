"""Ways to spoil a file: blindly, and knowing what is inside."""

from __future__ import annotations

import io
import json
import math
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import onnx
import torch
from google.protobuf.message import DecodeError

from tests.hostile import members_of, saved, zipped
from tests.soak.graphs import spoil_field

NUMBERS: Final = (0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)
OPCODES: Final = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
CODE_MEMBERS: Final = (".py", ".json", ".pkl", ".pt")


class Mutator:
    """Changes files at random, always the same way for the same generator.

    Args:
        random: where chance comes from.
        others: whole files to take pieces from.
        mark: what injected code would make.
    """

    def __init__(self, random: Random, others: tuple[bytes, ...], mark: Path) -> None:
        self.random = random
        self.others = others
        self.mark = str(mark)

    def spoil(self, data: bytes) -> bytes:
        """One to three changes."""
        for _ in range(self.random.choice((1, 1, 2, 3))):
            ways = list(self.ways(data))
            data = self.random.choice(ways)(data)
        return data

    def ways(self, data: bytes) -> list[Callable[[bytes], bytes]]:
        blind = [self.flip, self.cut, self.splice, self.number, self.repeat, self.remove]
        if is_zip(data):
            deep = [*[self.member] * 12, self.swap, self.drop, self.rename, self.squeeze]
            if b"trained_until_ns" in data:
                deep += [self.card] * 12
            return blind if self.random.random() < 0.15 else deep
        if data[:1] == b"\x08":
            return [*blind, *[self.graph] * 24]
        if data[:1] == b"\x80":
            return [*blind, *[self.opcodes] * 12]
        if data[8:9] == b"{":
            return [*blind, *[self.header] * 12]
        return blind

    def place(self, data: bytes) -> int:
        return self.random.randrange(len(data) + 1)

    def flip(self, data: bytes) -> bytes:
        spoiled = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 8, 32)) if data else 0):
            spoiled[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return bytes(spoiled)

    def cut(self, data: bytes) -> bytes:
        return data[: self.place(data)]

    def splice(self, data: bytes) -> bytes:
        other = self.random.choice(self.others)
        start = self.place(other)
        piece = other[start : start + self.random.choice((1, 4, 30, 300, 5000))]
        at = self.place(data)
        return data[:at] + piece + data[at + self.random.choice((0, len(piece))) :]

    def number(self, data: bytes) -> bytes:
        size = self.random.choice((1, 2, 4, 8))
        content = (self.random.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        at = self.place(data)
        return data[:at] + content + data[at + size :]

    def repeat(self, data: bytes) -> bytes:
        at = self.place(data)
        piece = data[at : at + self.random.choice((1, 10, 100, 1000))]
        return data[:at] + piece * self.random.choice((2, 3, 100)) + data[at:]

    def remove(self, data: bytes) -> bytes:
        at = self.place(data)
        return data[:at] + data[at + self.random.choice((1, 2, 10, 200)) :]

    def member(self, data: bytes) -> bytes:
        """Spoil one entry and write sums and sizes anew, so that deeper readers see it."""
        members = members_of(data)
        names = [name for name in members if name.endswith(CODE_MEMBERS)] or list(members)
        name = self.random.choice(self.random.choice((names, list(members))))
        members[name] = self.content(name, members[name])
        return zipped(members)

    def content(self, name: str, content: bytes) -> bytes:
        if is_zip(content):
            return self.member(content)
        if name.endswith(".json"):
            return self.table(content)
        if name.endswith(".pkl") and self.random.random() < 0.8:
            return self.opcodes(content)
        return self.random.choice((self.flip, self.number, self.splice, self.cut, self.repeat))(
            content
        )

    def swap(self, data: bytes) -> bytes:
        members = members_of(data)
        first, second = (self.random.choice(list(members)) for _ in range(2))
        members[first], members[second] = members[second], members[first]
        return zipped(members)

    def drop(self, data: bytes) -> bytes:
        members = members_of(data)
        del members[self.random.choice(list(members))]
        return zipped(members)

    def rename(self, data: bytes) -> bytes:
        members = members_of(data)
        content = members.pop(self.random.choice(list(members)))
        names = (
            "data.pkl",
            "constants.pkl",
            "models/model.json",
            "../x",
            "data/0",
            "a.so",
            "é",
            "",
        )
        return zipped({**members, self.random.choice(names): content})

    def squeeze(self, data: bytes) -> bytes:
        return zipped(members_of(data), method=zipfile.ZIP_DEFLATED)

    def opcodes(self, data: bytes) -> bytes:
        """Change a pickle between its opcodes: calls of our own, other opcodes, copies."""
        places = positions(data)
        at, other = self.random.choice(places), self.random.choice(places)
        gadget = f"cposix\nmkdir\n(V{self.mark}\ntR".encode()
        changed = (
            data[:at] + gadget + b"0" + data[at:],
            data[:at] + gadget + data[at:],
            data[:at] + self.random.choice(OPCODES) + data[at + 1 :],
            data[:at] + self.random.choice(OPCODES) + data[at:],
            data[:at] + data[other : other + 20] + data[at:],
            data[: min(at, other)] + data[max(at, other) :],
            data[:at] + b"(" * 50_000 + data[at:],
            data[:at] + b"]q\x01h\x01a" * 3 + data[at:],
        )
        return self.random.choice(changed)

    def table(self, content: bytes) -> bytes:
        """Change one value of a JSON text."""
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            return self.flip(content)
        if not self.put_odd(value):
            return self.flip(content)
        if self.random.random() < 0.1:
            return b"[" * 100_000
        try:
            return json.dumps(value).encode()
        except (ValueError, RecursionError):  # the value holds itself now
            return content[:-5]

    def put_odd(self, value: Any) -> bool:
        """Put something odd in one place of a table; False where there is none."""
        places = slots(value)
        if not places:
            return False
        holder, key = self.random.choice(places)
        code = f"__import__('os').mkdir({self.mark!r})"
        odd = (None, True, -1, 0, 3, 1 << 40, 1 << 70, 1e308, float("nan"), -math.inf, [], {}, [[]])
        texts = ("", "a.b", "x:y", "\x1b[31m\n", "\ud800", code, f"x={code}", "9**9**9")
        holder[key] = self.random.choice((*odd, *texts, self.random.choice(places)[0]))
        return True

    def graph(self, data: bytes) -> bytes:
        """Change one field of an ONNX file, or of the card in it, and write it well-formed."""
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError:
            return self.flip(data)
        own = [entry for entry in model.metadata_props if entry.key == "aitrade"]
        if own and self.random.random() < 0.4:
            text = own[0].value  # bytes where it is no UTF-8 any more
            content = text.encode() if isinstance(text, str) else text
            own[0].value = self.table(content).decode("utf-8", "replace")
        elif not spoil_field(model, self.random):
            return self.flip(data)
        return model.SerializeToString()

    def card(self, data: bytes) -> bytes:
        """Change one value among the parts of a saved object."""
        try:
            value = torch.load(io.BytesIO(data), weights_only=True)
        except Exception:  # spoiled before; any reader's error means that nothing can be changed
            return self.flip(data)
        return saved(value) if self.put_odd(value) else self.flip(data)

    def header(self, data: bytes) -> bytes:
        """Change the JSON of a safetensors file, its length told rightly."""
        size = int.from_bytes(data[:8], "little")
        text = self.table(data[8 : 8 + size])
        return len(text).to_bytes(8, "little") + text + data[8 + size :]


def is_zip(data: bytes) -> bool:
    """True where the archive can be taken apart and has entries in a folder."""
    if data[:4] != b"PK\x03\x04":
        return False
    try:
        return bool(members_of(data))
    except Exception:  # an archive that was spoiled before; any reader's error means no
        return False


def positions(pickle: bytes) -> list[int]:
    """Where opcodes begin, as far as the pickle can be read."""
    places = [0]
    try:
        for _, _, position in pickletools.genops(pickle):
            places.append(position or 0)
    except Exception:  # spoiled before; what was found is enough
        pass
    return places


def slots(value: Any, levels: int = 12) -> list[tuple[Any, Any]]:
    """Every place in a table that something can be put into; a spoiled one may hold itself."""
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    own = [(value, key) for key in keys]
    if levels == 0:
        return own
    return [*own, *(slot for key in keys for slot in slots(value[key], levels - 1))]
