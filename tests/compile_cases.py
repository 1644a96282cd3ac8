"""A compiled package that was never compiled: right in form, and its library is empty words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aitrade_cli.model.archive import pack
from aitrade_cli.model.artefact import Artefact, NativePackage, dump
from aitrade_cli.model.card import RunsOn, Step
from aitrade_cli.model.compilation.instructions import instructions_here
from tests.passes_cases import torch_model

LIBRARY = "model/data/aotinductor/model/code.wrapper.so"


def members(library: bytes = b"\x7fELF no code at all") -> dict[str, bytes]:
    return {
        LIBRARY: library,
        "model/data/aotinductor/model/code.wrapper.cpp": b"// nothing",
        "model/archive_format": b"pt2",
        "model/.data/version": b"6",
    }


def package(
    library: bytes = b"\x7fELF no code at all",
    *,
    instructions: tuple[str, ...] | None = None,
    torch_version: str | None = None,
) -> bytes:
    """The file's bytes, our card inside."""
    source = torch_model()
    needs = instructions_here() if instructions is None else instructions
    versions = {} if torch_version is None else {"torch": torch_version}
    step = Step("compile", {"source": "tiny.pt"}, {}, versions, "ab" * 32)
    card = replace(source.card, arch=None, runs_on=RunsOn("aoti", 1, "float32", needs))
    network = NativePackage(pack(members(library)))
    return dump(Artefact(card.with_step(step), network))


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test as soon as anybody opens a library."""

    def stop(path: str) -> None:
        pytest.fail(f"{path} was loaded")

    monkeypatch.setattr("torch._inductor.aoti_load_package", stop)
