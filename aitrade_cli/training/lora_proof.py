"""Proof that adapters learn and are heard, on a copy of the network, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.errors import Refused
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.training.lora import Adapted, LoraSettings, LowRank, adapt

CLOSE: Final = 1e-5  # of the largest answer, or absolute where answers are below 1
STEP: Final = 0.01  # far enough to be heard, near enough to stay finite


class AdaptersDoNotWork(Refused):
    """Trained like this, adapters would be lost or would learn nothing."""

    default_hint = "train without `--lora`, or keep them off that module with `only=PATTERN`"


@dataclass(frozen=True, slots=True)
class LoraProof:
    """What was measured. Differences are the largest of any answer, over the largest answer.

    Attributes:
        adapters: that each got a gradient in the second step.
        start: between weights before and after adapters were put in; 0. Answers may differ in
            their last bit even so: kernels round by where in memory a weight lies.
        effect: between the network before and after two steps, in evaluation mode; above 0.
        modes: between training and evaluation mode with dropout off; None where the network
            itself answers differently in the two.
        merged: between adapters in place and folded in.
    """

    adapters: int
    start: float
    effect: float
    modes: float | None
    merged: float


def prove(
    network: nn.Module,
    settings: LoraSettings,
    windows: Float[Tensor, "batch ..."],
    *,
    seed: int = 0,
) -> LoraProof:
    """Train adapters in a copy for two steps, and look whether every promise holds.

    Args:
        network: left as it is.
        settings: of the adapters that will be trained.
        windows: a few inputs; real ones, so that what is alive in use is alive here.
        seed: of the adapters and of the loss.

    Raises:
        AdaptersDoNotWork: an adapter gets no gradient, is not heard in evaluation mode, is not
            the same once merged, or a frozen parameter moved.
    """
    with torch.random.fork_rng(devices=[]), pool_of(1):  # a few windows are not worth sharing out
        torch.manual_seed(seed)
        return _prove(deepcopy(network), settings, windows, seed)


def _prove(network: nn.Module, settings: LoraSettings, windows: Tensor, seed: int) -> LoraProof:
    before = answer(network.eval(), windows)
    own_gap = gap_of_modes(network, windows)
    frozen = {name: value.detach().clone() for name, value in tensors_of(network)}
    adapted = adapt(network, settings, seed=seed)
    start = change_of_weights(adapted, frozen)
    with without_noise(network):
        two_steps(adapted, windows)
    silent = [place.full_name for place in adapted.places if not has_gradient(place.adapter)]
    if silent:
        raise AdaptersDoNotWork(f"the adapter of `{silent[0]}` gets no gradient")
    network.eval()
    after = answer(network, windows)
    modes = gap_of_modes(network, windows) if own_gap <= CLOSE else None
    moved = changed_since(adapted, frozen)
    if moved:
        raise AdaptersDoNotWork(f"`{moved[0]}` is frozen, and changed")
    merged = distance(after, answer(adapted.merge(), windows))
    proof = LoraProof(len(adapted.places), start, distance(before, after), modes, merged)
    if why := doubt(proof):
        raise AdaptersDoNotWork(why)
    return proof


def doubt(proof: LoraProof) -> str:
    """What a proof fails to show; empty where it shows everything."""
    if proof.start != 0.0:
        return f"adapters that learned nothing change a weight by `{proof.start:.2g}`"
    if not proof.effect > 0.0:
        return "adapters are not heard in evaluation mode"
    if proof.modes is not None and not proof.modes <= CLOSE:
        return f"adapters make training and evaluation mode differ by `{proof.modes:.2g}`"
    if not proof.merged <= CLOSE:
        return f"folding the adapters in changes answers by `{proof.merged:.2g}`"
    return ""


def two_steps(adapted: Adapted, windows: Tensor) -> None:
    """The first moves one matrix of each adapter off zero; in the second both have a slope."""
    trained = [value for value in adapted.network.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=STEP)
    for _ in range(2):
        optimizer.zero_grad()
        said = first(adapted.network(windows))
        (said * torch.randn_like(said)).mean().backward()
        optimizer.step()


def change_of_weights(adapted: Adapted, frozen: dict[str, Tensor]) -> float:
    """The largest difference between a weight as it is read and as it was."""
    with torch.no_grad():
        return max(
            float((getattr(place.module, place.weight) - frozen[place.full_name]).abs().max())
            for place in adapted.places
        )


def has_gradient(adapter: LowRank) -> bool:
    slopes = (adapter.up.grad, adapter.down.grad)
    return all(
        slope is not None and bool(slope.isfinite().all()) and bool(slope.any()) for slope in slopes
    )


def changed_since(adapted: Adapted, frozen: dict[str, Tensor]) -> list[str]:
    """Parameters of the network itself that are not what they were, to the bit."""
    now = dict(tensors_of(adapted.network))
    hidden = {
        place.full_name: f"{place.name}.".lstrip(".") + f"parametrizations.{place.weight}.original"
        for place in adapted.places
    }
    return [name for name, value in frozen.items() if not now[hidden.get(name, name)].equal(value)]


def tensors_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers; a module that stands in two places is met once."""
    yield from network.named_parameters()
    yield from network.named_buffers()


def gap_of_modes(network: nn.Module, windows: Tensor) -> float:
    """Between training and evaluation mode, without dropout; left in evaluation mode."""
    evaluated = answer(network.eval(), windows)
    with without_noise(network):
        trained = first(network(windows)).detach()  # with gradients: fused kernels stay out
    return distance(evaluated, trained)


@contextmanager
def without_noise(network: nn.Module) -> Iterator[None]:
    """Training mode, but no dropout, and batch statistics as they were learned.

    Evaluation mode afterwards.
    """
    before: list[tuple[nn.Module, str, float]] = []
    network.train()
    for module in network.modules():
        for name in ("p", "dropout"):
            share = getattr(module, name, None)
            if isinstance(share, float):
                before.append((module, name, share))
                setattr(module, name, 0.0)
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.eval()
    try:
        yield
    finally:
        for module, name, share in before:
            setattr(module, name, share)
        network.eval()


def answer(network: nn.Module, windows: Tensor) -> Tensor:
    with torch.inference_mode():
        return first(network(windows)).clone()


def first(said: Tensor | tuple[Tensor, ...]) -> Tensor:
    return said[0] if isinstance(said, tuple | list) else said


def distance(one: Tensor, other: Tensor) -> float:
    scale = max(1.0, float(one.abs().max()))
    return float((one - other).abs().max()) / scale
