"""A package that was compiled ahead of time. Its library is machine code: trust comes first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from aitrade_cli.errors import Missing
from aitrade_cli.model.artefact import Artefact, NativePackage
from aitrade_cli.model.compilation.instructions import lacking
from aitrade_cli.model.compilation.ledger import is_recorded
from aitrade_cli.model.loading.sniff import NativeCode
from aitrade_cli.model.runtimes.eager import TorchModule, pool_of
from aitrade_cli.model.runtimes.interface import CannotRun, first_line


class UntrustedLibrary(NativeCode):
    """Nobody here compiled this library, and nobody vouched for it."""

    def __init__(self, name: str, sha256: str | None) -> None:
        known = sha256 or "its sha256"
        super().__init__(
            f"`{name}` holds a native library that was not compiled on this host",
            hint=f"compile its parent here: `aitrade compile MODEL --backend aoti`; or, if you "
            f"know who built it: `aitrade bench {name} --trust-native {known}`",
        )


class OtherProcessor(NativeCode):
    """The library would stop this processor with an illegal instruction."""

    default_hint = "compile its parent on this host: `aitrade compile MODEL --backend aoti`"

    def __init__(self, name: str, missing: tuple[str, ...]) -> None:
        shown = ", ".join(missing[:6])
        super().__init__(f"`{name}` was compiled for a processor with {shown}, which this lacks")


class OtherTorch(Missing):
    """The library was linked against another torch."""

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(
            f"`{name}` was compiled with torch `{wanted}`, here is `{version('torch')}`",
            hint="compile its parent again: `aitrade compile MODEL --backend aoti`",
        )


class PackageRuntime(TorchModule):
    """A loaded package. Made by `start_package` only, which asks who built it.

    Args:
        call: the library's entry.
        shape: of the windows that it was compiled for; a name stands for a free axis.
        threads: of torch's pool during a call.
    """

    name = "aoti"

    def __init__(
        self, call: Callable[[Tensor], Any], shape: tuple[int | str, ...], threads: int
    ) -> None:
        super().__init__(call, threads)
        self._shape = shape

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows.

        Raises:
            CannotRun: another shape than the package was compiled for. Its code does not
                look, and would read past the end.
        """
        fits = len(window) and all(
            isinstance(wanted, str) or wanted == size
            for wanted, size in zip(self._shape, window.shape, strict=True)
        )
        if not fits:
            raise CannotRun(
                f"compiled for windows `{list(self._shape)}`, not `{list(window.shape)}`"
            )
        return super().run(window)


def check_package(artefact: Artefact) -> tuple[int | str, ...]:
    """Whether this host may load the library of a package; nothing of it is touched.

    Returns:
        The shape of the windows that it takes.

    Raises:
        UntrustedLibrary: the file's sha256 is not among those that this host recorded, and
            the user did not name it.
        OtherProcessor: it was built for instructions that this processor lacks.
        OtherTorch: it was built with another version of torch.
    """
    card, wish = artefact.card, artefact.card.runs_on
    shape = card.inputs[0].shape if card.inputs else ()
    if not isinstance(artefact.network, NativePackage) or wish is None or len(shape) != 3:
        raise TypeError(f"{artefact.name} is no compiled package")
    # What the user named counts before the record is looked at: it may be spoiled.
    named, sha256 = artefact.native_trusted, artefact.sha256
    if not (named or (sha256 is not None and is_recorded(sha256))):
        raise UntrustedLibrary(artefact.name, artefact.sha256)
    if missing := lacking(wish.instructions):
        raise OtherProcessor(artefact.name, missing)
    steps = [step for step in card.history if step.command == "compile"]
    built_with = steps[-1].versions.get("torch") if steps else None
    if built_with is not None and built_with != version("torch"):
        raise OtherTorch(artefact.name, built_with)
    return shape


def start_package(artefact: Artefact, threads: int = 1) -> PackageRuntime:
    """Check who built a package and for what, then load its library.

    The library is written to a folder of this user's own only after the checks.

    Raises:
        UntrustedLibrary, OtherProcessor, OtherTorch: as `check_package`.
        CannotRun: torch refuses the package.
    """
    shape = check_package(artefact)
    from torch._inductor import aoti_load_package  # two seconds, spent on what is trusted only

    assert isinstance(artefact.network, NativePackage)  # it was just checked
    with tempfile.TemporaryDirectory(prefix="aitrade-") as folder, pool_of(threads):
        path = Path(folder) / "model.pt2"
        path.write_bytes(artefact.network.package_bytes)
        try:
            # It unpacks the library into a private folder of its own, and removes it at the end.
            call = aoti_load_package(str(path))
        except Exception as error:  # torch's loader raises whatever it met
            raise CannotRun(f"torch refuses the package: {first_line(error)}") from error
    return PackageRuntime(call, shape, threads)
