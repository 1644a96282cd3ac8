r"""Narrow a transformer's residual stream: keep the directions in which it moves.

A layer norm looks at all numbers of a step at once, so none of them can just be left out. But
it is blind to the mean over them, and to rotation once that mean is gone. So the stream is
centred and turned onto its principal directions, and the last of those are dropped: with
$k$ of $D$ numbers left, $k - 1$ directions are kept, since $k$ centred numbers span no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from aitrade_cli.model.architectures.transformer import EncoderLayer, Transformer
from aitrade_cli.model.card import Arch


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The residual stream of a transformer.

    Attributes:
        directions: orthonormal columns, the one with most movement first.
        energy: mean square along each, in units of one normalized step.
    """

    directions: Float64[np.ndarray, "width width"]
    energy: Float64[np.ndarray, " width"]

    @property
    def width(self) -> int:
        return len(self.energy)


def stream_of(
    network: nn.Module, arch: Arch, windows: Float[Tensor, "n time feature"] | None
) -> Stream | None:
    """Find the directions from real windows, or from the weights alone; None for other networks."""
    if arch.foreign or not isinstance(network, Transformer):
        return None
    moment = from_weights(network) if windows is None else from_windows(network, windows)
    energy, directions = np.linalg.eigh(moment)
    return Stream(directions[:, ::-1].copy(), np.maximum(energy[::-1], 0.0).copy())


def norms_of(network: Transformer) -> list[nn.LayerNorm]:
    return [layer for layer in network.modules() if isinstance(layer, nn.LayerNorm)]


def from_windows(
    network: Transformer, windows: Float[Tensor, "n time feature"]
) -> Float64[np.ndarray, "width width"]:
    """Second moment of what the norms see, each step scaled as the norm scales it."""
    width = network.norm.normalized_shape[0]
    moment = torch.zeros(width, width, dtype=torch.float64)
    count = 0

    def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        nonlocal moment, count
        steps = given[0].reshape(-1, width).double()
        steps = steps - steps.mean(dim=1, keepdim=True)
        steps = steps / steps.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)
        moment += steps.T @ steps
        count += len(steps)

    hooks = [norm.register_forward_pre_hook(look) for norm in norms_of(network)]
    try:
        with torch.inference_mode():
            for part in windows.split(64):
                network(part)
    finally:
        for hook in hooks:
            hook.remove()
    return (moment / max(count, 1)).numpy()


def from_weights(network: Transformer) -> Float64[np.ndarray, "width width"]:
    """Second moment of the stream if every writer were fed with white noise."""
    moment = 0
    for writer in writers_of(network):
        weight = writer.weight.detach().double()
        weight = weight - weight.mean(dim=0, keepdim=True)
        moment = moment + weight @ weight.T
    return np.asarray(moment)


def layers_of(network: Transformer) -> list[EncoderLayer]:
    return [layer for layer in network.layers if isinstance(layer, EncoderLayer)]


def writers_of(network: Transformer) -> list[nn.Linear]:
    """Layers whose outputs are added to the stream."""
    inner = [(layer.attention.output, layer.contract) for layer in layers_of(network)]
    return [network.embed, network.age, *(one for pair in inner for one in pair)]


def readers_of(network: Transformer) -> list[tuple[nn.LayerNorm, nn.Linear]]:
    """Norms that look at the stream, each with the layer behind it."""
    pairs = [(network.norm, network.head)]
    for layer in layers_of(network):
        pairs.append((layer.attention_norm, layer.attention.query_key_value))
        pairs.append((layer.ffn_norm, layer.expand))
    return pairs


def narrow(network: Transformer, stream: Stream, width: int) -> dict[str, Tensor]:
    """The state dict of the same network with a stream of ``width`` numbers.

    Exact where the stream has no energy past the first ``width - 1`` directions.

    Source:
        Ashkboos et al. 2024, SliceGPT, section 3. https://arxiv.org/abs/2401.15024
    """
    turn = turning(stream, width)
    shrink = math.sqrt(width / stream.width)  # keeps the mean square that the norm divides by
    names = {id(value): name for name, value in network.named_parameters()}
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    for writer in writers_of(network):
        state[names[id(writer.weight)]] = shrink * turn @ writer.weight.detach().double()
        if writer.bias is not None:
            state[names[id(writer.bias)]] = shrink * turn @ writer.bias.detach().double()
    for norm, reader in readers_of(network):
        weight, gain = reader.weight.detach().double(), norm.weight.detach().double()
        told = reader.bias.detach().double() + weight @ norm.bias.detach().double()
        state[names[id(reader.weight)]] = (weight * gain) @ turn.T / shrink
        state[names[id(reader.bias)]] = told
        state[names[id(norm.weight)]] = torch.ones(width)
        state[names[id(norm.bias)]] = torch.zeros(width)
    return {name: value.float().contiguous() for name, value in state.items()}


def turning(stream: Stream, width: int) -> Float[Tensor, "width old"]:
    """Centre, turn onto the directions, and lay them into ``width`` numbers whose sum is zero."""
    old = stream.width
    directions = stream.directions[:, : width - 1]
    centred = directions - directions.mean(axis=0, keepdims=True)
    basis, _ = np.linalg.qr(centred)
    plane, _ = np.linalg.qr(np.eye(width)[:, : width - 1] - 1.0 / width)
    if basis.shape != (old, width - 1):
        raise ValueError(f"{old} numbers have no {width - 1} directions")
    return torch.from_numpy(plane @ basis.T)
