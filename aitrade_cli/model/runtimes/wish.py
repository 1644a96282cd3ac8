"""How an artefact is run where nobody says how: as its card wishes, as far as this host can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aitrade_cli.model.artefact import Artefact, NativePackage, OnnxGraph
from aitrade_cli.system.host import read_cpu

FOR_TORCH: Final = frozenset(("eager", "compile", "xla"))
FOR_ONNX: Final = frozenset(("onnxruntime", "openvino", "tensorrt"))
BFLOAT16_UNITS: Final = frozenset(("avx512_bf16", "amx_bf16", "bf16"))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run an artefact.

    Attributes:
        runtime: one of `RUNTIMES`.
        threads: of its pool, >= 1.
        precision: ``float32`` or ``bfloat16``.
        note: what of the card's wish could not be had here; empty where all of it could.
    """

    runtime: str
    threads: int
    precision: str = "float32"
    note: str = ""


def way_of(artefact: Artefact, runtime: str = "auto", threads: int | None = None) -> Way:
    """Settle runtime, threads and precision.

    Args:
        artefact: its card may say what it wants.
        runtime: ``auto`` takes the card's runtime where it is here and runs this kind of
            artefact, else eager for torch and ONNX Runtime for ONNX.
        threads: None takes the card's where its runtime is used, else 1.
    """
    from aitrade_cli.model.runtimes.start import why_not  # it imports this module

    wish = artefact.card.runs_on
    fallback = plain_runtime(artefact)
    if wish is None:
        return Way(fallback if runtime == "auto" else runtime, threads or 1)
    if runtime not in ("auto", wish.runtime):
        return Way(runtime, threads or 1)
    reason = why_not(wish.runtime) if wish.runtime in kinds_of(artefact) else "it runs other files"
    if reason is not None and runtime == "auto":
        note = f"wants `{wish.runtime}`, which cannot run here ({reason}): `{fallback}` instead"
        return Way(fallback, threads or 1, note=note)
    precision, note = wish.precision, ""
    if precision == "bfloat16" and not has_bfloat16():
        precision, note = "float32", "wants bfloat16, which this CPU lacks: float32 instead"
    return Way(wish.runtime, threads or wish.threads, precision, note)


def plain_runtime(artefact: Artefact) -> str:
    """What runs this kind of file where the card wishes nothing."""
    if isinstance(artefact.network, NativePackage):
        return "aoti"
    return "onnxruntime" if isinstance(artefact.network, OnnxGraph) else "eager"


def kinds_of(artefact: Artefact) -> frozenset[str]:
    """The runtimes that run this kind of file at all."""
    if isinstance(artefact.network, NativePackage):
        return frozenset(("aoti",))
    return FOR_ONNX if isinstance(artefact.network, OnnxGraph) else FOR_TORCH


def has_bfloat16() -> bool:
    """The processor multiplies bfloat16 itself; without, it would be slower than float32."""
    return bool(BFLOAT16_UNITS.intersection(read_cpu()[1]))
