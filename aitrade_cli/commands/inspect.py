"""`aitrade inspect`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aitrade_cli.commands.options import (
    ArchFactory,
    Data,
    Force,
    Json,
    ModelIn,
    ModelOut,
    Symbol,
    TrustPickle,
    option,
)
from aitrade_cli.errors import Usage
from aitrade_cli.pipeline import (
    Incoming,
    emit,
    load_incoming,
    output_name,
    read_input,
    write_output,
)


def inspect(
    model: ModelIn,
    arch: ArchFactory = None,
    wrap: Annotated[
        bool, option("--wrap", help="Write weights and `--arch` as one artefact")
    ] = False,
    data: Data = None,
    symbol: Symbol = None,
    output: ModelOut = None,
    trust_pickle: TrustPickle = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Nothing in the file is run: a file that could execute code is refused, and the
    message says what was found in it.

    With `--wrap`, a bare state dict or safetensors file and the factory of its network
    become one artefact that every other command takes; `--data` puts a sample of
    those bars inside, so that the gates can run.
    """
    from aitrade_cli.model.inspection import inspect_artefact

    incoming, target = read_input(model), None
    if wrap:
        target = output_name(model, output, ".wrapped.pt", force=force)
        incoming = wrapped(incoming, Path(target).name, arch, data, symbol)
        write_output(target, incoming.data, force=force)
    elif output is not None or data is not None:
        raise Usage("`-o` and `--data` go with `--wrap`")
    artefact = load_incoming(incoming, arch=arch, trust_pickle=trust_pickle)
    emit(
        inspect_artefact(artefact, incoming.data),
        command="inspect",
        as_json=as_json,
        artefact=target,
    )


def wrapped(
    incoming: Incoming, name: str, arch: str | None, data: str | None, symbol: str | None
) -> Incoming:
    from aitrade_cli.passes.wrapping import wrap_model

    if arch is None:
        raise Usage("`--wrap` wants `--arch module:factory`, the network of these weights")
    return Incoming(wrap_model(incoming.data, arch, data, symbol), name, None)
