"""Hostile model files, made on the spot. What a file tries to run makes one folder: the mark."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

PROGRAM: Final = "models/model.json"
SAMPLE_INPUTS: Final = "data/sample_inputs/model.pt"


class Marking:
    """Unpickling this makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


class Small(nn.Module):
    """A net with every part a trading net has, small enough to mutate by the thousand."""

    def __init__(self) -> None:
        super().__init__()
        self.recur = nn.GRU(3, 4, batch_first=True)
        self.leave = nn.Linear(4, 3)

    def forward(self, window: Tensor) -> Tensor:
        states, _ = self.recur(window)
        return self.leave(states[:, -1])


def small() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small().eval()


def saved(value: Any, protocol: int = 2) -> bytes:
    """`torch.save` into memory."""
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


@cache
def exported() -> bytes:
    """A real `.pt2` with a free batch axis."""
    batch = torch.export.Dim("batch")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            small(), (torch.zeros(2, 5, 3),), dynamic_shapes=({0: batch},)
        )
        torch.export.save(program, buffer)
    return buffer.getvalue()


@cache
def scripted() -> bytes:
    """A real TorchScript archive."""
    return script_of(small())


def script_of(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def members_of(archive: bytes) -> dict[str, bytes]:
    """Every entry of a zip, the root folder taken off."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name.split("/", 1)[1]: file.read(name) for name in file.namelist()}


def zipped(members: Mapping[str, bytes], root: str = "archive/", method: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(root + name, content)
    return buffer.getvalue()


def with_members(archive: bytes, **members: bytes) -> bytes:
    """The archive with entries replaced or added; ``__`` in a keyword stands for ``/``."""
    return zipped({**members_of(archive), **members})


def edited_program(edit: Callable[[dict[str, Any]], None]) -> bytes:
    """A real `.pt2` whose JSON was changed by hand."""
    program = json.loads(members_of(exported())[PROGRAM])
    edit(program)
    return with_members(exported(), **{PROGRAM: json.dumps(program).encode()})


def every_table(value: Any) -> list[dict[str, Any]]:
    """All tables inside a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) else []
    return [*own, *(table for item in inner for table in every_table(item))]


def pickled_module(mark: Path) -> bytes:
    return saved({"model": Marking(mark), "weights": small().state_dict()})


def raw_pickle(mark: Path, protocol: int) -> bytes:
    return pickle.dumps(Marking(mark), protocol=protocol)


def exported_with_pickle(mark: Path) -> bytes:
    """The hole of `torch.export.load`: example inputs are unpickled without limits."""
    return with_members(exported(), **{SAMPLE_INPUTS: saved((Marking(mark),))})


def exported_with_expression(mark: Path) -> bytes:
    """Another: sympy evaluates shapes as Python."""

    def edit(program: dict[str, Any]) -> None:
        for table in every_table(program):
            if "expr_str" in table:
                table["expr_str"] = f"__import__('os').mkdir({str(mark)!r}) or {table['expr_str']}"
                return

    return edited_program(edit)


def exported_with_argument(mark: Path) -> bytes:
    """Another: names of inputs are written into source that is executed."""
    evil = json.dumps(f"window=__import__('os').mkdir({str(mark)!r})").encode()
    program = members_of(exported())[PROGRAM]
    return with_members(exported(), **{PROGRAM: program.replace(b'"window"', evil)})


def exported_with_guard(mark: Path) -> bytes:
    """Another: guards are Python source that runs with the model."""

    def edit(program: dict[str, Any]) -> None:
        program["guards_code"] = [f"__import__('os').mkdir({str(mark)!r}) is None"]

    return edited_program(edit)


def exported_with_container(mark: Path) -> bytes:
    """Another: the type of a container names a module, which is imported."""
    (mark.parent / "marking_on_import.py").write_text(f"import os; os.mkdir({str(mark)!r})")
    context = {"default_factory_module": "marking_on_import", "default_factory_name": "x"}

    def edit(program: dict[str, Any]) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        version, tree = json.loads(signature["in_spec"])
        tree["type"], tree["context"] = "collections.defaultdict", {**context, "dict_context": []}
        signature["in_spec"] = json.dumps([version, tree])

    return edited_program(edit)


def exported_with_operator(mark: Path) -> bytes:
    """Another: operators are looked up from the torch module, where `os` is in reach."""

    def edit(program: dict[str, Any]) -> None:
        graph = program["graph_module"]["graph"]
        call = {
            "target": "torch.os.mkdir",
            "inputs": [{"name": "", "arg": {"as_string": str(mark)}, "kind": 1}],
            "outputs": [{"as_none": True}],
            "metadata": {},
            "is_hop_single_tensor_return": None,
            "name": "made",
        }
        graph["nodes"].insert(0, call)

    return edited_program(edit)


def exported_with_library() -> bytes:
    return with_members(exported(), **{"data/aotinductor/model/wrapper.so": b"\x7fELF" + bytes(60)})


def exported_with_disguised_library() -> bytes:
    return with_members(exported(), **{"data/weights/notes.txt": b"\x7fELF" + bytes(60)})


class WritesAFile(nn.Module):
    """TorchScript can write files: `torch.save` is an operator of its own there."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, window: Tensor) -> Tensor:
        torch.save(window, self.path)
        return window


def script_that_writes(mark: Path) -> bytes:
    return script_of(WritesAFile(str(mark)))


def bomb() -> bytes:
    """100 MB of zeros in 100 kB."""
    return zipped(
        {"data.pkl": b"\x80\x02}.", "data/0": bytes(100 << 20)}, method=zipfile.ZIP_DEFLATED
    )


def overlapping_bomb() -> bytes:
    """Many directory entries for one content: each honest, together enormous."""
    content, crc = bytes(1 << 16), zlib.crc32(bytes(1 << 16))
    name = b"archive/data.pkl"
    local = struct.pack(
        "<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, crc, len(content), len(content), len(name), 0
    )
    entries = b""
    for index in range(500):
        entry = b"archive/data/%03d" % index
        entries += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, crc, len(content), len(content),
            len(entry), 0, 0, 0, 0, 0, 0,
        ) + entry  # fmt: skip
    start = len(local) + len(name) + len(content)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), start, 0)
    return local + name + content + entries + end
