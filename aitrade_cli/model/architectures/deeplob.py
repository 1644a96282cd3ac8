"""DeepLOB: convolutions over features, an inception module over time, then an LSTM."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def time_conv(before: int, after: int, steps: int) -> nn.Conv2d:
    """Convolve over time only; an odd ``steps`` keeps the length."""
    return nn.Conv2d(before, after, (steps, 1), padding=(steps // 2, 0))


class FeatureBlock(nn.Module):
    """Merge each ``merge`` neighbouring features into one, then look along time twice."""

    def __init__(self, before: int, after: int, *, merge: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(before, after, (1, merge), stride=(1, merge))
        self.first = time_conv(after, after, 5)
        self.second = time_conv(after, after, 5)

    def forward(self, image: Float[Tensor, "batch b time f"]) -> Float[Tensor, "batch a time g"]:
        return self.second(self.first(self.merge(image).relu()).relu()).relu()


class Inception(nn.Module):
    """Three views along time, at once: three steps, five steps, and the highest of three."""

    def __init__(self, before: int, branch: int) -> None:
        super().__init__()
        self.enter_three = nn.Conv2d(before, branch, 1)
        self.three = time_conv(branch, branch, 3)
        self.enter_five = nn.Conv2d(before, branch, 1)
        self.five = time_conv(branch, branch, 5)
        self.highest = nn.MaxPool2d((3, 1), stride=1, padding=(1, 0))
        self.leave_highest = nn.Conv2d(before, branch, 1)

    def forward(self, image: Float[Tensor, "batch b time 1"]) -> Float[Tensor, "batch a time 1"]:
        three = self.three(self.enter_three(image).relu()).relu()
        five = self.five(self.enter_five(image).relu()).relu()
        highest = self.leave_highest(self.highest(image)).relu()
        return torch.cat((three, five, highest), dim=1)


class DeepLOB(nn.Module):
    """Convolutions find short patterns across and along the features, an LSTM orders them.

    Each step reaches 15 steps to either side inside the window before the LSTM runs over all
    of them, so it looks back over the whole window; the time axis is free. Convolutions run side by
    side, the LSTM step after step.

    The paper reads 40 numbers of an order book, two by two. Here the features of a bar take
    their place: neighbours in the list are merged two by two, twice, then all that is left.
    Convolutions along time are 5 steps, padded, where the paper has 4 unpadded, so that a short
    window survives; ReLU stands for leaky ReLU, which fuses into an INT8 convolution.

    Args:
        features: numbers per time step; zeros fill up to a multiple of four.
        classes: outputs.
        channels: width of the three convolution blocks.
        branch: width of each of the inception module's three branches.
        hidden_size: units of the LSTM.

    Source:
        Zhang, Zohren and Roberts 2019, section IV. https://arxiv.org/abs/1808.03668
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 3,
        channels: tuple[int, int, int] = (32, 32, 32),
        branch: int = 64,
        hidden_size: int = 64,
    ) -> None:
        super().__init__()
        pairs, fours, whole = channels
        columns = math.ceil(features / 4)
        self.fill = nn.ZeroPad2d((0, 4 * columns - features, 0, 0))
        self.blocks = nn.Sequential(
            FeatureBlock(1, pairs, merge=2),
            FeatureBlock(pairs, fours, merge=2),
            FeatureBlock(fours, whole, merge=columns),
        )
        self.inception = Inception(whole, branch)
        self.lstm = nn.LSTM(3 * branch, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, classes)

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        image = self.fill(window.unsqueeze(1))
        steps = self.inception(self.blocks(image)).squeeze(-1).transpose(1, 2)
        states, _ = self.lstm(steps)
        return self.head(states[:, -1])
