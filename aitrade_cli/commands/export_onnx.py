"""`aitrade export-onnx`"""

from __future__ import annotations

from typing import Annotated

from aitrade_cli.commands.options import (
    ArchFactory,
    Force,
    Json,
    ModelIn,
    ModelOut,
    TrustPickle,
    option,
)
from aitrade_cli.pipeline import emit, load_input, output_name, progress, write_output


def export_onnx(
    model: ModelIn,
    output: ModelOut = None,
    exporter: Annotated[
        str, option("--exporter", metavar="NAME", help="auto, both, legacy or dynamo")
    ] = "auto",
    arch: ArchFactory = None,
    trust_pickle: TrustPickle = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Torch's exporters declare free axes that they have frozen on some networks, so a graph is
    run at nine shapes or more next to the source, and written only if it agrees at all of
    them. `auto` takes the first exporter whose graph does, the quick one first; `both` tries
    both and keeps the smaller right graph.

    Weights stay float32: `aitrade quantize` makes them smaller. Where the time axis cannot
    be kept free it is fixed at the window's length, and the report says so.
    """
    from aitrade_cli.model.artefact import dump
    from aitrade_cli.model.export import export_onnx as export
    from aitrade_cli.model.provenance import record

    target = output_name(model, output, ".onnx", force=force)
    source = load_input(model, arch=arch, trust_pickle=trust_pickle)
    with progress("export-onnx", as_json=as_json) as say:
        say("exporting and trying shapes")
        made, report = export(source, exporter=exporter)
    settings, found = {"exporter": exporter}, {"exporter": report.chosen}
    data = dump(record(made, source, "export-onnx", settings, found))
    write_output(target, data, force=force)
    emit(report, command="export-onnx", as_json=as_json, artefact=target)
