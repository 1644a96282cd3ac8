"""Matrix products in 16 bits where the processor has units for it, weights in 32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, get_args

import torch
from torch import nn

from aitrade_cli.errors import Missing, Usage
from aitrade_cli.training.recipe import Precision
from aitrade_cli.training.weight_copies import copies_let_go

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
WORDS: Final = {"bf16": "bfloat16", "fp16": "float16"}
DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
INSTRUCTIONS: Final = {
    "bf16": ("avx512_bf16", "amx_bf16"),
    "fp16": ("avx512_fp16", "amx_fp16"),
}


class NoUnits(Missing):
    """This processor has no units for the format that was asked for."""

    default_hint = "`--amp auto` takes what is fastest here, `--amp fp32` changes nothing"


def has_units(precision: Precision, device: str) -> bool:
    """Whether products in this format are computed by units made for it."""
    if precision == "fp32":
        return True
    if device == "cuda":
        return precision == "fp16" or torch.cuda.is_bf16_supported()
    told = torch.cpu.get_capabilities()
    if told.get("architecture") == "x86_64":  # elsewhere the library that multiplies is asked
        return any(told.get(name) for name in INSTRUCTIONS[precision])
    asked = torch.ops.mkldnn
    if precision == "bf16":
        return bool(asked._is_mkldnn_bf16_supported())
    return bool(asked._is_mkldnn_fp16_supported())


def precision_named(name: str, device: str) -> Precision:
    """The format of that name; stops before a run that would be many times slower.

    Raises:
        Usage: no such format.
        NoUnits: the processor emulates it.
    """
    for precision in PRECISIONS:
        if precision == name:
            if has_units(precision, device):
                return precision
            raise NoUnits(
                f"this {device.upper()} has no units for {WORDS[precision]}: training would be"
                " slower"
            )
    raise Usage(f"no precision is called `{name}`", hint=f"one of auto, {', '.join(PRECISIONS)}")


def casting(
    precision: Precision, device: str, *, thrifty: bool = True
) -> Callable[[], AbstractContextManager[Any]]:
    """What to open around each forward pass.

    Args:
        precision: of matrix products.
        device: ``cpu`` or ``cuda``.
        thrifty: keep no copies of weights for going back. Not where weights are elsewhere by
            then, as sharded ones are, and not where a compiler decides what is kept.
    """
    if precision == "fp32":
        return nullcontext
    if not thrifty:
        return lambda: torch.autocast(device, dtype=DTYPES[precision])
    return lambda: both(torch.autocast(device, dtype=DTYPES[precision]), copies_let_go())


@contextmanager
def both(one: AbstractContextManager[Any], other: AbstractContextManager[Any]) -> Iterator[None]:
    with one, other:
        yield


def answers_in_float32(model: nn.Module) -> Callable[[], None]:
    """Let what leaves the network be float32, so that no loss is summed in 16 bits.

    Returns:
        Takes the hook off.
    """

    def widen(_model: nn.Module, _inputs: object, output: Any) -> Any:  # noqa: ANN401
        return output.float() if isinstance(output, torch.Tensor) else output

    return model.register_forward_hook(widen).remove


def scaler_of(precision: Precision, device: str) -> torch.amp.GradScaler | None:
    """Float16 ends at 6e-8: gradients are multiplied before it and divided after."""
    return torch.amp.GradScaler(device) if precision == "fp16" else None
