"""`.pt2`: vetted member by member, then packed again, so that torch reads only what was vetted.

`torch.export.load` falls back to an unrestricted pickle load where the restricted one
fails. Here every pickle is read as plain data first, and what goes into the new archive
is a fresh save of that data: no pickle of the file's own is ever seen by torch.
"""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch.export import ExportedProgram

from aitrade_cli.errors import Refused
from aitrade_cli.model.archive import pack
from aitrade_cli.model.card import Card
from aitrade_cli.model.loading.limits import Limits
from aitrade_cli.model.loading.members import Members, read_members
from aitrade_cli.model.loading.pickled_module import PickledModule, wanted_names
from aitrade_cli.model.loading.plain_pickle import BadPickle, Machine, WantsPython
from aitrade_cli.model.loading.program_card import card_of_program
from aitrade_cli.model.loading.program_json import BadProgram, vet_json
from aitrade_cli.model.loading.program_weights import check_payloads
from aitrade_cli.model.loading.sniff import NativeCode, native
from aitrade_cli.model.loading.tensors import Tensors, names_of
from aitrade_cli.model.loading.torch_zip import is_torch_save, read_saved

PROGRAM: Final = "models/model.json"
SAMPLE_INPUTS: Final = "data/sample_inputs/model.pt"
WEIGHTS: Final = "data/weights/model_weights_config.json"
CONSTANTS: Final = "data/constants/model_constants_config.json"
NATIVE_ENDINGS: Final = (".so", ".dll", ".dylib", ".cubin", ".fatbin", ".hsaco", ".o", ".ptx")
FOREIGN_OBJECTS: Final = ("data/constants/custom_obj_", "data/constants/opaque_obj_")
FIXED: Final = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}


class ForeignObject(Refused):
    """The program carries an object of a class that only foreign code knows."""

    default_hint = "export the model as ONNX where its classes are installed"


def vet_program(members: Members, limits: Limits, sha256: str) -> tuple[bytes, Card]:
    """A new archive of what was proven harmless, and what it tells of itself.

    Raises:
        NativeCode: a member is a native library, by name or by content.
        PickledModule: a pickle inside wants Python objects.
        ForeignObject: it holds a custom or opaque object.
        CodeInProgram, CustomOperators: the graph would run something else than torch operators.
        BadProgram: a part is missing or damaged.
    """
    saved = {}
    for name, content in members.items():
        check_no_library(name, content)
        if name.startswith(FOREIGN_OBJECTS):
            raise ForeignObject(f"`{name}` is an object of a foreign class")
        if is_pickle(name, content):
            saved[name] = saved_again(name, content, limits, sha256)
    program = vet_json(part(members, PROGRAM), limits)
    weights, constants = (
        read_payloads(members, saved, name, limits) for name in (WEIGHTS, CONSTANTS)
    )
    kept = {
        **{f"{WEIGHTS.rsplit('/', 1)[0]}/{name}": data for name, data in weights.items()},
        **{f"{CONSTANTS.rsplit('/', 1)[0]}/{name}": data for name, data in constants.items()},
        PROGRAM: json.dumps(program).encode(),
        SAMPLE_INPUTS: saved.get(SAMPLE_INPUTS, b""),
        **FIXED,
        ".data/version": b"6",
    }
    return pack({f"archive/{name}": data for name, data in kept.items()}), card_of_program(program)


def read_card(members: Mapping[str, bytes], limits: Limits) -> Card:
    """The card of a program whose pickles the user vouched for."""
    return card_of_program(vet_json(part(members, PROGRAM), limits))


def part(members: Mapping[str, bytes], name: str) -> bytes:
    if name not in members:
        raise BadProgram(f"the exported program lacks `{name}`")
    return members[name]


def check_no_library(name: str, content: bytes) -> None:
    # ".so.1" and the like count too.
    ending = any(f"{end}." in f"{name.lower()}." for end in NATIVE_ENDINGS)
    if ending or ((what := native(content)) and what != "a Windows library"):
        raise NativeCode(f"`{name}` inside is a native library")


def is_pickle(name: str, content: bytes) -> bool:
    """True where torch or anybody might unpickle a member: by its bytes or by its place."""
    looks = content[:1] == b"\x80" and content[1:2] <= b"\x05" and content[-1:] == b"."
    nested = content[:4] == b"PK\x03\x04"
    return looks or nested or name.endswith((".pt", ".pkl", ".pickle"))


def saved_again(name: str, content: bytes, limits: Limits, sha256: str) -> bytes:
    """Read a pickled member as plain data and save that.

    Raises:
        PickledModule: it wants Python objects; they and the member are named.
        BadPickle: it is damaged.
    """
    if not content:
        return b""
    try:
        value = read_pickle(content, limits)
    except WantsPython as error:
        pickle = content
        if content[:2] == b"PK":
            pickle = read_members(content, stored_only(limits))["data.pkl"]
        raise PickledModule(wanted_names(pickle), sha256, member=name) from error
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def stored_only(limits: Limits) -> Limits:
    # torch packs nothing, and an archive of many archives must not unpack to more than itself.
    return replace(limits, slack_bytes=0, growth=1)


def read_pickle(content: bytes, limits: Limits) -> Any:
    if content[:2] != b"PK":
        tensors = Tensors({}, limits)
        return Machine(names_of(tensors, len(content)), tensors.storage, limits).run(content)
    members = read_members(content, stored_only(limits))
    if not is_torch_save(members):
        raise BadPickle("an archive inside the archive was not made by `torch.save`")
    return read_saved(members, limits)


def read_payloads(
    members: Mapping[str, bytes], saved: Mapping[str, bytes], config_name: str, limits: Limits
) -> dict[str, bytes]:
    """The config and the raw members it describes, each as large as its tensors say."""
    folder, config_file = config_name.rsplit("/", 1)
    config = vet_json(part(members, config_name), limits)
    contents = {
        name: saved.get(f"{folder}/{name}", members[f"{folder}/{name}"])
        for name in sorted(check_payloads(config, members, folder))
    }
    return {**contents, config_file: json.dumps(config).encode()}


def open_program(pt2_bytes: bytes) -> ExportedProgram:
    """Load an archive that `vet_program` made.

    Raises:
        BadProgram: torch cannot make sense of the graph.
    """
    with quiet("torch.export", "torch._export", "torch.fx"):
        try:
            return torch.export.load(io.BytesIO(pt2_bytes))
        except Exception as error:  # torch's deserializer raises whatever its asserts meet
            lines = str(error).strip().splitlines() or [""]
            raise BadProgram(
                f"torch cannot read the exported program: {type(error).__name__}: {lines[0][:120]}"
            ) from error


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep torch from printing the traceback of an error that is caught and told anyway."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
