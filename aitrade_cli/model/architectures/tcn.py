"""Temporal convolutional network: dilated causal convolutions with shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

LONGEST_FIELD = 1 << 17  # steps; each forward pads by about this many


class CausalConv(nn.Module):
    """A convolution over time whose output at a step sees that step and earlier ones only."""

    def __init__(self, before: int, after: int, *, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.past = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(before, after, kernel_size, dilation=dilation)

    def forward(
        self, signal: Float[Tensor, "batch before time"]
    ) -> Float[Tensor, "batch after time"]:
        return self.conv(functional.pad(signal, (self.past, 0)))


class CausalBlock(nn.Module):
    """Two causal convolutions, ReLU after each, and a shortcut around both.

    The shortcut is the identity when the width stays, else a convolution of size 1.
    """

    def __init__(
        self, before: int, inner: int, after: int, *, kernel_size: int, dilation: int
    ) -> None:
        super().__init__()
        self.first = CausalConv(before, inner, kernel_size=kernel_size, dilation=dilation)
        self.second = CausalConv(inner, after, kernel_size=kernel_size, dilation=dilation)
        self.shortcut = nn.Identity() if before == after else nn.Conv1d(before, after, 1)

    def forward(
        self, signal: Float[Tensor, "batch before time"]
    ) -> Float[Tensor, "batch after time"]:
        change = self.second(self.first(signal).relu()).relu()
        return (self.shortcut(signal) + change).relu()


class TCN(nn.Module):
    r"""Causal convolutions whose dilation doubles from block to block, read out at the last step.

    Looks back $1 + 2(k-1)(2^B-1)$ steps for kernel size $k$ and $B$ blocks (``receptive_field``):
    253 with the defaults. Anything earlier cannot change the answer; a shorter window is padded
    with zeros, so the time axis is free. All steps of a window run side by side.

    The paper's weight normalization and dropout are left out: both shape training only.

    Args:
        features: numbers per time step.
        classes: outputs.
        channels: width of each block, first to last.
        inner_channels: width between the two convolutions of each block; ``channels`` by default.
        kernel_size: steps that each convolution sees.

    Source:
        Bai, Kolter and Koltun 2018, section 3. https://arxiv.org/abs/1803.01271
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 3,
        channels: Sequence[int] = (64,) * 6,
        inner_channels: Sequence[int] = (),
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.receptive_field = 1 + 2 * (kernel_size - 1) * (2 ** len(channels) - 1)
        if self.receptive_field > LONGEST_FIELD:
            raise ValueError(f"a receptive field of {self.receptive_field} steps")
        widths = [features, *channels]
        self.blocks = nn.ModuleList(
            CausalBlock(before, inner, after, kernel_size=kernel_size, dilation=2**depth)
            for depth, ((before, after), inner) in enumerate(
                zip(pairwise(widths), inner_channels or channels, strict=True)
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    def trace(
        self, window: Float[Tensor, "batch time feature"]
    ) -> Float[Tensor, "batch width time"]:
        """Every step's last hidden layer; column ``t`` depends on steps up to ``t`` only."""
        signal = window.transpose(1, 2)
        for block in self.blocks:
            signal = block(signal)
        return signal

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        return self.head(self.trace(window)[:, :, -1])
