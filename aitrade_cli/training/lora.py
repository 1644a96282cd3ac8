"""LoRA: train a small product of two matrices beside each weight, then fold it into the weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

from aitrade_cli.errors import BadInput, Usage

# What these modules multiply by. Norms and biases are left alone: they have no rank to lower.
KINDS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.MultiheadAttention, nn.RNNBase)
MOMENTS: Final = 2  # numbers that Adam keeps for each one it trains


class NothingToAdapt(BadInput):
    """No weight of the network is one that an adapter can stand beside."""


class SharedWeight(BadInput):
    """Two modules hold one weight; an adapter beside each would part them."""

    default_hint = "leave one of them out: `--lora r=8,only=PATTERN`"


class BadLora(Usage):
    """Settings of LoRA that cannot be read."""

    default_hint = "write `r=8`, `r=8,alpha=16` or `r=8,only=layers.*`"


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Size and place of the adapters.

    Attributes:
        rank: rows of the smaller matrix, >= 1; a weight with fewer rows or columns gets fewer.
        alpha: the product is multiplied by ``alpha / rank``; None means the rank, a factor of 1.
        only: shell pattern over names of weights, such as ``layers.*.attention.*``.
    """

    rank: int = 8
    alpha: float | None = None
    only: str = "*"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise BadLora(f"a rank of `{self.rank}` is not at least 1")
        if self.alpha is not None and not (math.isfinite(self.alpha) and self.alpha > 0):
            raise BadLora(f"an alpha of `{self.alpha}` is not above 0")

    @property
    def scale(self) -> float:
        """What the product of both matrices is multiplied by."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def __str__(self) -> str:
        alpha = "" if self.alpha is None else f",alpha={self.alpha:g}"
        return f"r={self.rank}{alpha}" + ("" if self.only == "*" else f",only={self.only}")


def settings_of(text: str) -> LoraSettings:
    """Read ``r=8``, ``r=8,alpha=16`` or ``r=8,only=PATTERN``.

    Raises:
        BadLora: it is none of these.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        key, mark, value = part.strip().partition("=")
        if not mark or key not in {"r", "alpha", "only"} or not value or key in found:
            raise BadLora(f"`{part}` in `{text}` cannot be read")
        found[key] = value
    try:
        alpha = float(found["alpha"]) if "alpha" in found else None
        return LoraSettings(int(found.get("r", "8")), alpha, found.get("only", "*"))
    except ValueError as error:
        raise BadLora(f"`{text}` has a number that cannot be read") from error


class LowRank(nn.Module):
    r"""One adapter: makes $W + s\,B A$ of a weight, which is $W$ itself while $B$ is zero.

    Whoever reads the weight gets the sum, a fused kernel that goes around the module's own
    forward included. That is why adapters are put on weights here, not around modules.

    Args:
        weight: of two dimensions or more; all but the first count as inputs.
        rank: of the product.
        scale: $s$.
        generator: draws $A$.

    Source:
        Hu et al. 2021, section 4.1. https://arxiv.org/abs/2106.09685
    """

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        rank = min(rank, outputs, inputs)
        # Drawn on the CPU, so that one seed gives one adapter wherever the network lives.
        drawn = torch.rand(rank, inputs, generator=generator)
        down = (2.0 * drawn - 1.0) / math.sqrt(inputs)
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        self.scale = scale

    def forward(self, weight: Float[Tensor, "out *in"]) -> Float[Tensor, "out *in"]:
        return weight + (self.scale * self.up @ self.down).view_as(weight)


@dataclass(frozen=True, slots=True)
class Place:
    """One weight that gets an adapter."""

    name: str  # of the module, "" for the network itself
    module: nn.Module
    weight: str

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.weight}" if self.name else self.weight

    @property
    def adapter(self) -> LowRank:
        """The adapter that stands there; only after `adapt`."""
        found = self.module.get_submodule(f"parametrizations.{self.weight}.0")
        assert isinstance(found, LowRank)  # put there by `adapt`
        return found


def places_in(network: nn.Module, only: str = "*") -> Iterator[Place]:
    """Weights of linear, convolutional, attention and recurrent modules, by a pattern."""
    for name, module in network.named_modules():
        if not isinstance(module, KINDS):
            continue
        for weight, value in module.named_parameters(recurse=False):
            place = Place(name, module, weight)
            matrix = "weight" in weight and value.dim() >= 2 and value.is_floating_point()
            if matrix and fnmatchcase(place.full_name, only):
                yield place


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network while adapters stand in it.

    Attributes:
        network: changed in place; parameters of its own are frozen.
        places: where adapters stand.
        trained: numbers in all adapters; ``total``: in the network without them.
    """

    network: nn.Module
    places: tuple[Place, ...]
    trained: int
    total: int
    _was_trained: dict[str, bool] = field(repr=False)
    _orders: tuple[tuple[nn.Module, tuple[str, ...]], ...] = field(repr=False)
    _hooks: tuple[RemovableHandle, ...] = field(repr=False)

    @property
    def optimizer_saved(self) -> float:
        """Share of the optimizer's moments that need not be kept, in [0, 1]; < 0 where it grew."""
        return 1.0 - self.trained / self.total

    @property
    def optimizer_bytes(self) -> tuple[int, int]:
        """What AdamW keeps for the adapters, and would keep for all parameters; float32."""
        return 4 * MOMENTS * self.trained, 4 * MOMENTS * self.total

    def merge(self) -> nn.Module:
        """Fold each adapter into its weight and take it out; names and order are as before."""
        for hook in self._hooks:
            hook.remove()
        for place in self.places:
            parametrize.remove_parametrizations(place.module, place.weight)
        for module, order in self._orders:
            for name in order:  # removal hangs the weight behind the bias
                module._parameters[name] = module._parameters.pop(name)
            if isinstance(module, nn.RNNBase):
                read_weights(module)
        for name, value in self.network.named_parameters():
            value.requires_grad_(self._was_trained[name])
        return self.network


def adapt(network: nn.Module, settings: LoraSettings, *, seed: int = 0) -> Adapted:
    """Freeze a network and put an adapter beside each of its weights, in place.

    Until the first step the network answers as before, to the bit. Prove an arrangement on a
    copy first: `lora_proof.prove`.

    Args:
        network: any; what it computes with must be weights of ``KINDS``.
        settings: rank, scale and where.
        seed: of the matrices that do not start at zero.

    Raises:
        NothingToAdapt: no weight fits the kinds and the pattern.
        SharedWeight: one weight has two places.
    """
    places = tuple(places_in(network, settings.only))
    if not places:
        raise NothingToAdapt(
            f"no weight of the network matches `{settings.only}`",
            hint=f"names are such as {', '.join(some_names(network))}",
        )
    refuse_shared(network, places)
    modules = {id(place.module): place.module for place in places}
    was_trained = {name: value.requires_grad for name, value in network.named_parameters()}
    total = sum(value.numel() for value in network.parameters())
    orders = tuple((module, tuple(module._parameters)) for module in modules.values())
    generator = torch.Generator().manual_seed(seed)
    network.requires_grad_(False)
    for place in places:
        weight = place.module.get_parameter(place.weight)
        adapter = LowRank(weight.detach(), settings.rank, settings.scale, generator)
        parametrize.register_parametrization(place.module, place.weight, adapter, unsafe=True)
    hooks = [
        hook
        for module in modules.values()
        if isinstance(module, nn.RNNBase)
        for hook in (
            module.register_forward_pre_hook(lambda module, _: read_weights(module)),
            module.register_forward_hook(
                lambda module, *_: forget_weights(module), always_call=True
            ),
        )
    ]
    for module in modules.values():
        if isinstance(module, nn.RNNBase):
            forget_weights(module)
    trained = sum(value.numel() for value in network.parameters() if value.requires_grad)
    return Adapted(network, places, trained, total, was_trained, orders, tuple(hooks))


def read_weights(module: nn.Module) -> None:
    """Let a recurrent layer see its weights as they are now: it keeps a list of its own."""
    assert isinstance(module, nn.RNNBase)  # hooked to no other
    module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]


def forget_weights(module: nn.Module) -> None:
    """Drop sums that were read: a graph hangs on them, and a copy of the network would fail."""
    assert isinstance(module, nn.RNNBase)  # hooked to no other
    module._flat_weights = []


def refuse_shared(network: nn.Module, places: tuple[Place, ...]) -> None:
    """An adapter beside a weight that stands in two places would train one of them only."""
    ours = {id(place.module.get_parameter(place.weight)): place for place in places}
    for name, value in network.named_parameters(remove_duplicate=False):
        place = ours.get(id(value))
        if place is not None and place.full_name != name and not same_module(network, place, name):
            raise SharedWeight(f"`{place.full_name}` and `{name}` are one weight")


def same_module(network: nn.Module, place: Place, name: str) -> bool:
    """One module under two names holds one weight, and one adapter serves both."""
    return network.get_submodule(name.rpartition(".")[0]) is place.module


def some_names(network: nn.Module) -> list[str]:
    """A few weights that could be named."""
    return [place.full_name for place in places_in(network)][:3] or ["none: no layer has weights"]
