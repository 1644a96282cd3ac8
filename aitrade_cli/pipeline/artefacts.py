"""From a name on the command line to an artefact that is safe to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aitrade_cli.pipeline.streams import Incoming, read_input

if TYPE_CHECKING:
    from aitrade_cli.model.artefact import Artefact


def load_input(
    source: str,
    *,
    arch: str | None = None,
    trust_pickle: str | None = None,
    trust_native: str | None = None,
) -> Artefact:
    """Read ``source`` (a file, or stdin for ``-``) and load it without running what it holds.

    Raises:
        AitradeError: it cannot be read, or the loader refuses it; see `model.loading.load`.
    """
    return load_incoming(
        read_input(source), arch=arch, trust_pickle=trust_pickle, trust_native=trust_native
    )


def load_incoming(
    incoming: Incoming,
    *,
    arch: str | None = None,
    trust_pickle: str | None = None,
    trust_native: str | None = None,
) -> Artefact:
    """The same for bytes that were read already."""
    from aitrade_cli.model.loading import load

    return load(
        incoming.data,
        name=incoming.name,
        arch=arch,
        trust_pickle=trust_pickle,
        trust_native=trust_native,
        folder=incoming.folder,
    )
