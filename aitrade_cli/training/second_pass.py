"""What is cheap to keep and dear to make, so that a block computed again need not make it again.

On a CPU a draw costs more than most of what a block computes, and dropout draws a number for each
activation: the bit that comes of it is a thirty-second of the activation. And a product that sums
many numbers into few, such as the second layer of a Transformer's feed-forward part, costs as much
as one that does the opposite and leaves a fraction of its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DRAWN: Final = torch.ops.aten.bernoulli_.float
PRODUCTS: Final[Mapping[Any, int]] = {  # and which of the arguments is the left factor
    torch.ops.aten.addmm.default: 1,
    torch.ops.aten.mm.default: 0,
    torch.ops.aten.bmm.default: 0,
}
NARROWS: Final = 4  # times more numbers summed than columns that come out


class Kept:
    """Results of one pass through a block, in the order in which they came.

    What draws otherwise, which is rare, is drawn again from where the generator was.

    Args:
        notice: told about each tensor that is kept; what it returns is let go of along with it.
    """

    def __init__(self, notice: Callable[[Tensor], object] = lambda _: None) -> None:
        self.tensors: list[Tensor | None] = []  # bits, products, or the state of the generator
        self.products: dict[int, int] = {}  # which of them are, and their version when made
        self.notice = notice
        self.noticed: list[object] = []

    def keep(self, one: Tensor) -> None:
        self.tensors.append(one)
        self.noticed.append(self.notice(one))

    def keep_product(self, one: Tensor) -> None:
        self.products[len(self.tensors)] = one._version
        self.tensors.append(one)

    def part_from_graph(self) -> None:
        """Products as they are once the block is done; one that was written into is given up.

        They hold the graph, which is going to hold this: until here, because only outside of a
        mode does what is detached go on to count the writes into the whole.
        """
        for at, version in self.products.items():
            product = self.tensors[at]
            if product is not None and product._version == version:
                self.tensors[at] = product.detach()
                self.noticed.append(self.notice(product))
            else:
                self.tensors[at] = None

    def product(self, at: int) -> Tensor | None:
        """None where somebody wrote into it, as an activation in place does."""
        one = self.tensors[at]
        return one if one is not None and one._version == self.products[at] else None


class Record(TorchDispatchMode):
    """Keeps what is worth it inside."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401 -- as given
        super().__exit__(*error)
        self.kept.part_from_graph()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 -- an operator of torch's own
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        del types
        if func is not DRAWN and draws(func):
            self.kept.keep(torch.get_rng_state())
        out = func(*args, **(kwargs or {}))
        if func is DRAWN:
            self.kept.keep(bits_of(out))
        elif narrows(func, args):
            self.kept.keep_product(out)
        return out


class Replay(TorchDispatchMode):
    """Gives out again what was kept, from the start each time it is entered."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept
        self.at = 0

    def __enter__(self) -> Any:  # noqa: ANN401
        self.at = 0
        return super().__enter__()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 -- an operator of torch's own
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        del types
        if func is DRAWN:
            return args[0].copy_(mask_of(self.next(), args[0].shape))
        if narrows(func, args):
            product = self.kept.product(self.at)
            self.at += 1
            if product is not None:
                return product.detach()
        elif draws(func):
            torch.set_rng_state(self.next())
        return func(*args, **(kwargs or {}))

    def next(self) -> Any:  # noqa: ANN401 -- a tensor, for only products are given up
        self.at += 1
        return self.kept.tensors[self.at - 1]


@cache
def draws(func: Any) -> bool:  # noqa: ANN401 -- an operator
    """Whether it takes numbers from the generator."""
    return torch.Tag.nondeterministic_seeded in func.tags


def narrows(func: Any, args: tuple[Any, ...]) -> bool:  # noqa: ANN401 -- an operator
    """A product that leaves much less than it sums."""
    at = PRODUCTS.get(func)
    return at is not None and args[at].shape[-1] >= NARROWS * args[at + 1].shape[-1]


def bits_of(mask: Tensor) -> Tensor:
    """Zeros and ones, eight to a byte."""
    return torch.from_numpy(np.packbits(mask.bool().contiguous().numpy()))


def mask_of(bits: Tensor, shape: torch.Size) -> Tensor:
    """They again, a byte each."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=shape.numel())).view(shape)
