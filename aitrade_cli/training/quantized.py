"""Train a network while its weights and activations are rounded to few bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.func import functional_call

from aitrade_cli.model.quantization.integers import to_int4
from aitrade_cli.model.quantization.weight_only import BLOCK
from aitrade_cli.training.distillation import Answers, mixed_loss
from aitrade_cli.training.loop import logits_of, tensor_of

MULTIPLYING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.LSTM, nn.GRU)
WEIGHT_STEPS = 127  # to either side of zero: 8 bits, symmetric
ACTIVATION_STEPS = 255  # from lowest to highest: 8 bits, zero included
LEAST_SCALE = 1e-12
ACTIVATION_BITS = 8  # fewer are not computed with


def round_through(value: Tensor) -> Tensor:
    """Rounded going forward; going back as if it had not been.

    Source:
        Bengio, Léonard and Courville 2013, the straight-through estimator.
        https://arxiv.org/abs/1308.3432
    """
    return value + (value.round() - value).detach()


def rounded_weight(weight: Tensor, *, per_channel: bool = True) -> Tensor:
    """Symmetric, one scale for each output or one for all, as ONNX Runtime is told to."""
    highest = weight.detach().abs().flatten(1).amax(dim=1)
    if not per_channel:
        highest = highest.amax().expand_as(highest)
    scale = highest.clamp_min(LEAST_SCALE) / WEIGHT_STEPS
    scale = scale.view(-1, *[1] * (weight.dim() - 1))
    return round_through(weight / scale) * scale


def rounded_to_4_bits(weight: Tensor, block: int = BLOCK) -> Tensor:
    """As `aitrade quantize --int4` stores it: a scale for each block of a row."""
    rows = weight.detach().flatten(1)
    made = to_int4(np.ascontiguousarray(rows.numpy()), block)
    wide = (made.integers * made.scale).reshape(len(rows), -1)[:, : rows.shape[1]]
    stored = torch.from_numpy(wide.astype(np.float32)).view_as(weight)
    return weight + (stored - weight).detach()


def rounded_activation(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Asymmetric between two bounds that hold zero; what lies outside is cut off."""
    low, high = low.clamp_max(0.0), high.clamp_min(0.0)
    scale = ((high - low) / ACTIVATION_STEPS).clamp_min(LEAST_SCALE)
    zero = (-low / scale).round()
    steps = round_through(value / scale + zero)
    # The bounds cut the gradient too: beyond them no step changes anything.
    return (steps.clamp(0.0, float(ACTIVATION_STEPS)) - zero) * scale


@dataclass
class Rounding:
    """Which tensors of a network are rounded, and between which bounds.

    Attributes:
        ranges: lowest and highest input of each multiplying layer, by name; a layer that is
            not named takes those of each window at hand, as dynamic INT8 does.
        per_channel: a scale for each output of a weight; else one for the whole.
        bits: of the weights; with 4, activations stay in float.
    """

    ranges: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    per_channel: bool = True
    bits: Literal[8, 4] = 8

    def rounded(self, weight: Tensor) -> Tensor:
        if self.bits == 4:
            return rounded_to_4_bits(weight)
        return rounded_weight(weight, per_channel=self.per_channel)

    def parameters_of(self, network: nn.Module) -> dict[str, Tensor]:
        """The parameters, the weights of multiplying layers rounded."""
        rounded = {
            f"{name}.{which}".lstrip("."): self.rounded(weight)
            for name, part in network.named_modules()
            if isinstance(part, MULTIPLYING)
            for which, weight in part.named_parameters(recurse=False)
            if weight.dim() > 1
        }
        return {**dict(network.named_parameters()), **rounded}

    def run(
        self, network: nn.Module, windows: Float[Tensor, "batch time feature"]
    ) -> Float[Tensor, "batch klass"]:
        """Logits of the network as if it were quantized."""
        with self.activations_rounded(network):
            return functional_call(network, self.parameters_of(network), (windows,))

    @contextmanager
    def activations_rounded(self, network: nn.Module) -> Iterator[None]:
        handles = [
            part.register_forward_pre_hook(partial(self.round_input, name))
            for name, part in network.named_modules()
            if isinstance(part, MULTIPLYING) and self.bits == ACTIVATION_BITS
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def round_input(
        self, name: str, _part: nn.Module, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        value, *rest = inputs
        if name in self.ranges:
            low, high = self.ranges[name]
        else:
            each = value.detach().flatten(1)
            shape = (-1, *[1] * (value.dim() - 1))
            low, high = each.amin(dim=1).view(shape), each.amax(dim=1).view(shape)
        return (rounded_activation(value, low, high), *rest)


def calibrated(
    network: nn.Module, windows: Float32[np.ndarray, "n time feature"]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Lowest and highest input of each multiplying layer over these windows."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def look(name: str, _part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = inputs[0].amin().clone(), inputs[0].amax().clone()
        if name in found:
            low, high = torch.minimum(low, found[name][0]), torch.maximum(high, found[name][1])
        found[name] = (low, high)

    handles = [
        part.register_forward_pre_hook(partial(look, name))
        for name, part in network.named_modules()
        if isinstance(part, MULTIPLYING)
    ]
    try:
        logits_of(network, windows)
    finally:
        for handle in handles:
            handle.remove()
    # Made in inference mode; training may use copies only.
    return {name: (low.clone(), high.clone()) for name, (low, high) in found.items()}


@dataclass
class RoundedAnswers:
    """The objective of quantisation-aware fine-tuning: the float network's logits, rounded.

    Source:
        Jacob et al. 2018, section 3. https://arxiv.org/abs/1712.05877
    """

    answers: Answers
    rounding: Rounding
    helper: nn.Module = field(default_factory=nn.Identity)

    def __len__(self) -> int:
        return len(self.answers)

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        windows = tensor_of(self.answers.lessons.windows_at(rows))
        return self.answers.loss_of(self.rounding.run(network, windows), rows)

    def validation_loss(self, network: nn.Module) -> float:
        lessons = self.answers.lessons
        windows = lessons.validation.windows
        network.eval()
        with torch.no_grad():
            said = [
                self.rounding.run(network, tensor_of(windows[start : start + 256]))
                for start in range(0, len(windows), 256)
            ]
        logits = torch.from_numpy(lessons.validation_logits)
        classes = torch.from_numpy(lessons.validation.classes)
        return mixed_loss(torch.cat(said), logits, classes, self.answers.distillation).item()
