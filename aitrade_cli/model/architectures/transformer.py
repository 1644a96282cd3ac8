"""Transformer encoder over the steps of a window, read out at the last."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

WIDEST_PERIOD = 10_000.0  # of the sinusoids, over 2 pi: the paper's constant


class Attention(nn.Module):
    """Every step asks every step of the window, in several heads at once."""

    def __init__(self, width: int, *, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = head_size
        self.query_key_value = nn.Linear(width, 3 * heads * head_size)
        self.output = nn.Linear(heads * head_size, width)

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        batch, time, _ = steps.shape
        split = (batch, time, self.heads, self.head_size)
        query, key, value = (
            part.view(split).transpose(1, 2)
            for part in self.query_key_value(steps).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        joined = mixed.transpose(1, 2).reshape(batch, time, self.heads * self.head_size)
        return self.output(joined)


class EncoderLayer(nn.Module):
    """Attention, then two linear layers per step; each normalized before and added after."""

    def __init__(self, width: int, *, heads: int, head_size: int, ffn_size: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, head_size=head_size)
        self.ffn_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, ffn_size)
        self.contract = nn.Linear(ffn_size, width)

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        steps = steps + self.attention(self.attention_norm(steps))
        return steps + self.contract(self.expand(self.ffn_norm(steps)).relu())


class Transformer(nn.Module):
    r"""Self-attention encoder: any step can use any other in one layer.

    Looks back over the whole window at a cost of $12 D^2 T + 2 D T^2$ multiply-adds a layer for
    width $D$ and $T$ steps, all of them side by side. The time axis is free: a step is told apart
    by sinusoids of its age, so the newest step looks the same in a short window and in a long one.

    Normalization comes before each sublayer instead of after (Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745), which trains without a warm-up phase.

    Args:
        features: numbers per time step.
        classes: outputs.
        width: numbers per step inside.
        heads: attention heads of each layer, first to last.
        head_size: numbers per head.
        ffn_sizes: inner width of the feed-forward part of each layer; as many as ``heads``.
        age_waves: sine and cosine pairs that tell a step's age.

    Source:
        Vaswani et al. 2017, section 3. https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 3,
        width: int = 256,
        heads: Sequence[int] = (4, 4, 4, 4),
        head_size: int = 64,
        ffn_sizes: Sequence[int] = (1024, 1024, 1024, 1024),
        age_waves: int = 8,
    ) -> None:
        super().__init__()
        self.age_waves = age_waves
        self.embed = nn.Linear(features, width)
        self.age = nn.Linear(2 * age_waves, width, bias=False)
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads=count, head_size=head_size, ffn_size=ffn_size)
            for count, ffn_size in zip(heads, ffn_sizes, strict=True)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def waves(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "time wave"]:
        """Sinusoids of the age of each step, newest last, at geometrically spaced speeds.

        Made anew in each call: a table would end at some length, and would weigh on a small file.
        """
        device, time = window.device, window.shape[1]
        ages = torch.arange(time - 1, -1, -1, device=device, dtype=torch.float32)
        steps = torch.arange(self.age_waves, device=device, dtype=torch.float32)
        angles = ages[:, None] * torch.exp(steps * (-math.log(WIDEST_PERIOD) / self.age_waves))
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        steps = self.embed(window) + self.age(self.waves(window))
        for layer in self.layers:
            steps = layer(steps)
        return self.head(self.norm(steps[:, -1]))
