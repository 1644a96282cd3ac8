"""AOTInductor: what Inductor makes of a model, in a package that opens without compiling."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.export import ExportedProgram

from aitrade_cli.model.artefact import Artefact, NativePackage
from aitrade_cli.model.card import Card, RunsOn, TensorSpec
from aitrade_cli.model.compilation.inductor import why_no_inductor
from aitrade_cli.model.compilation.instructions import instructions_here
from aitrade_cli.model.compilation.interface import Backend, NotCompiled
from aitrade_cli.model.export.exporters import quiet
from aitrade_cli.model.loading.limits import Limits
from aitrade_cli.model.loading.members import read_members
from aitrade_cli.model.loading.native_package import read_package
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.interface import first_line

AXES: Final = ("batch", "time", "feature")
EXAMPLES: Final = 2  # 1 would be taken for a constant


def make(
    artefact: Artefact, windows: Float32[np.ndarray, "n time feature"], precision: str
) -> Artefact:
    """Compile with the batch axis free, and the time axis too where the model's is.

    Raises:
        NotCompiled: the model cannot be exported, the C++ compiler stopped, or the code
            would take only one length of window where the model takes any.
    """
    module = build(artefact)
    example = torch.from_numpy(np.ascontiguousarray(windows[:EXAMPLES], dtype=np.float32))
    free_time = bool(artefact.card.inputs) and "time" in artefact.card.inputs[0].free_axes
    try:
        package, shape = compile_package(module, example, (0, 1) if free_time else (0,))
    except NotCompiled:
        raise
    except Exception as error:  # export, Inductor and the compiler each raise their own
        told = first_line(error)
        raise NotCompiled(f"AOTInductor cannot compile `{artefact.name}`: {told}") from error
    wish = RunsOn("aoti", 1, precision, instructions_here())
    card = replace(with_input_shape(artefact.card, shape), runs_on=wish, arch=None)
    clean = read_package(read_members(package, Limits()), card)
    return Artefact(card, NativePackage(clean), name=artefact.name, native_trusted=True)


def with_input_shape(card: Card, shape: tuple[int | str, ...]) -> Card:
    first, *others = card.inputs or (TensorSpec("window", ()),)
    return replace(card, inputs=(replace(first, shape=shape), *others))


def compile_package(
    module: nn.Module, example: Tensor, free: tuple[int, ...]
) -> tuple[bytes, tuple[int | str, ...]]:
    """The package's bytes, and the shape that its code really takes.

    Args:
        module: in eval mode.
        example: a batch of at least two windows.
        free: axes that may have any length. The exporter fixes one of them without a word
            where the network does not allow it, as recurrent ones do; the code then reads
            past the end of a shorter window, so the runtime must know.
    """
    # Two seconds, which the other backends save.
    import torch._inductor.config as inductor_config
    from torch._inductor import aoti_compile_and_package

    axes = dict.fromkeys(free, torch.export.Dim.AUTO)
    with (
        quiet(),
        torch.inference_mode(),
        # Its pool of compiler processes outlives the call and takes every core.
        inductor_config.patch(compile_threads=1),
        tempfile.TemporaryDirectory(prefix="aitrade-") as folder,
    ):
        program = torch.export.export(module, (example,), dynamic_shapes=(axes,))
        shape = shape_taken(program)
        frozen = next((size for axis, size in enumerate(shape) if axis in free and axis), "")
        if isinstance(frozen, int):  # told before minutes of compiling, not after
            raise NotCompiled(
                f"AOTInductor would take windows of {frozen} rows only, the model takes any"
            )
        path = aoti_compile_and_package(program, package_path=str(Path(folder) / "model.pt2"))
        return Path(path).read_bytes(), shape


def shape_taken(program: ExportedProgram) -> tuple[int | str, ...]:
    """The input's shape as it was traced; a name stands for an axis that stayed free.

    An axis that turned out to be fixed keeps its symbol; only the range of the symbol is gone.
    """
    name = list(program.graph_signature.user_inputs)[0]  # noqa: RUF015 -- typed as a collection
    node = next(node for node in program.graph.nodes if node.name == name)
    free = {str(symbol) for symbol in program.range_constraints}
    return tuple(
        axis if isinstance(size, torch.SymInt) and str(size) in free else int(size)
        for size, axis in zip(node.meta["val"].shape, AXES, strict=True)
    )


AOTI = Backend("aoti", why_no_inductor, make)
