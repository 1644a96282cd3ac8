"""DeepLOB: convolutions over features, an inception module over time, then an LSTM."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def time_conv(before: int, after: int, steps: int) -> nn.Conv2d:
    """Convolve over time only; an odd ``steps`` keeps the length."""
    return nn.Conv2d(before, after, (steps, 1), padding=(steps // 2, 0))


class FeatureBlock(nn.Module):
    """Merge each ``merge`` neighbouring features into one, then look along time twice."""

    def __init__(self, before: int, widths: Sequence[int], *, merge: int) -> None:
        super().__init__()
        merged, between, after = widths
        self.merge = nn.Conv2d(before, merged, (1, merge), stride=(1, merge))
        self.first = time_conv(merged, between, 5)
        self.second = time_conv(between, after, 5)

    def forward(self, image: Float[Tensor, "batch b time f"]) -> Float[Tensor, "batch a time g"]:
        return self.second(self.first(self.merge(image).relu()).relu()).relu()


class Inception(nn.Module):
    """Three views along time, at once: three steps, five steps, and the highest of three."""

    def __init__(self, before: int, widths: Sequence[int]) -> None:
        super().__init__()
        to_three, three, to_five, five, highest = widths
        self.enter_three = nn.Conv2d(before, to_three, 1)
        self.three = time_conv(to_three, three, 3)
        self.enter_five = nn.Conv2d(before, to_five, 1)
        self.five = time_conv(to_five, five, 5)
        self.highest = nn.MaxPool2d((3, 1), stride=1, padding=(1, 0))
        self.leave_highest = nn.Conv2d(before, highest, 1)
        self.width = three + five + highest

    def forward(self, image: Float[Tensor, "batch b time 1"]) -> Float[Tensor, "batch a time 1"]:
        three = self.three(self.enter_three(image).relu()).relu()
        five = self.five(self.enter_five(image).relu()).relu()
        highest = self.leave_highest(self.highest(image)).relu()
        return torch.cat((three, five, highest), dim=1)


class DeepLOB(nn.Module):
    """Convolutions find short patterns across and along the features, an LSTM orders them.

    The convolutions see 14 steps to either side inside the window, and an LSTM runs over all of
    them, so it looks back over the whole window; the time axis is free. Convolutions run side by
    side, the LSTM step after step.

    The paper reads 40 numbers of an order book, two by two. Here the features of a bar take
    their place: neighbours in the list are merged two by two, twice, then all that is left.
    Convolutions along time are 5 steps, padded, where the paper has 4 unpadded, so that a short
    window survives; ReLU stands for leaky ReLU, which does not fuse into an INT8 convolution.

    Args:
        features: numbers per time step; zeros fill up to a multiple of four.
        classes: outputs.
        channels: widths of the nine convolutions before the inception module, first to last.
        branches: widths inside it: into and out of the view of three steps, into and out of
            that of five, and out of that of the highest.
        hidden_size: units of the LSTM.

    Source:
        Zhang, Zohren and Roberts 2019, section IV. https://arxiv.org/abs/1808.03668
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 3,
        channels: Sequence[int] = (32,) * 9,
        branches: Sequence[int] = (64,) * 5,
        hidden_size: int = 64,
    ) -> None:
        super().__init__()
        if len(channels) != 9:
            raise ValueError(f"`channels` has {len(channels)} entries, not 9")
        columns = math.ceil(features / 4)
        self.fill = nn.ZeroPad2d((0, 4 * columns - features, 0, 0))
        self.blocks = nn.Sequential(
            FeatureBlock(1, channels[:3], merge=2),
            FeatureBlock(channels[2], channels[3:6], merge=2),
            FeatureBlock(channels[5], channels[6:], merge=columns),
        )
        self.inception = Inception(channels[8], branches)
        self.lstm = nn.LSTM(self.inception.width, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, classes)

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        image = self.fill(window.unsqueeze(1))
        steps = self.inception(self.blocks(image)).squeeze(-1).transpose(1, 2)
        states, _ = self.lstm(steps)
        return self.head(states[:, -1])
