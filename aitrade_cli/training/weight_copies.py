"""Weights in 16 bits are copies of weights that are there: made again going back, not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from aitrade_cli.training.activations import Held, seen

HALVES: Final = (torch.bfloat16, torch.float16)
LEAST: Final = 1024  # numbers; smaller copies are not worth a second one
COPIES: Final = "ToCopyBackward0"


class ChangedMeanwhile(RuntimeError):
    """What a gradient needs was written into between a forward pass and its backward pass."""


@dataclass(frozen=True, slots=True)
class Copy:
    """How to make a copy of a weight again.

    Attributes:
        layout: sizes, strides and offset: what was saved may be the copy turned around.
        version: of the weight when it was copied.
    """

    weight: nn.Parameter
    dtype: torch.dtype
    layout: tuple[torch.Size, tuple[int, ...], int]
    version: int

    def again(self) -> Tensor:
        """The same numbers.

        Raises:
            ChangedMeanwhile: they would be others.
        """
        if self.weight._version != self.version:
            raise ChangedMeanwhile("a weight was changed before the gradient that needs it")
        return self.weight.detach().to(self.dtype).as_strided(*self.layout)


@dataclass(frozen=True, slots=True)
class Saved:
    """A tensor that autograd wants to keep.

    Attributes:
        version: of its memory when it was saved: with hooks torch itself does not compare it.
        held: of the meters that count it.
    """

    value: Tensor
    version: int
    held: list[Held]

    def again(self) -> Tensor:
        """The tensor.

        Raises:
            ChangedMeanwhile: it holds other numbers by now.
        """
        if self.value._version != self.version:
            raise ChangedMeanwhile(
                f"a tensor of shape {tuple(self.value.shape)} was changed in place before the"
                " gradient that needs it: write to a copy in the network's `forward`"
            )
        return self.value


@contextmanager
def copies_let_go() -> Iterator[None]:
    """Autograd keeps no copy that autocast makes of a weight inside; gradients stay as they are."""
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


def pack(value: Tensor) -> Copy | Saved:
    """What stands for a tensor that autograd wants to keep."""
    copy = weight_behind(value)
    if copy is not None:
        return copy
    # Hooks do not nest: a meter outside would see nothing. Detached, or a node would hold itself.
    return Saved(value.detach(), value._version, seen(value))


def unpack(kept: Copy | Saved) -> Tensor:
    """The tensor again."""
    return kept.again()


def weight_behind(value: Tensor) -> Copy | None:
    """The weight that a tensor is a copy of, where it is one: its graph says so."""
    if value.dtype not in HALVES or value.numel() < LEAST:
        return None
    whole = value if value._base is None else value._base
    made = whole.grad_fn
    if made is None or made.name() != COPIES:
        return None
    source: Any = made.next_functions[0][0]
    weight = getattr(source, "variable", None)
    if not isinstance(weight, nn.Parameter) or whole.stride() != weight.stride():
        return None
    layout = (value.size(), value.stride(), int(value.storage_offset()))
    return Copy(weight, value.dtype, layout, weight._version)
