"""Masks that are kept: the second pass draws nothing and still is the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from aitrade_cli.training import activations, second_pass
from aitrade_cli.training.activations import recompute, watched
from aitrade_cli.training.second_pass import Kept, Record, Replay, bits_of, mask_of, narrows


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_a_mask_comes_back_from_its_bits(drawn: list[bool]) -> None:
    mask = torch.tensor(drawn, dtype=torch.float32)
    bits = bits_of(mask)
    assert bits.nbytes == -(-len(drawn) // 8)
    assert torch.equal(mask_of(bits, mask.shape).float(), mask)


def chance(rows: Tensor) -> Tensor:
    """Dropout of two kinds, and two draws that are no masks."""
    rows = nn.functional.dropout(rows, 0.3) + torch.rand(3) + torch.randn(3)
    return nn.functional.dropout1d(rows[None], 0.5)[0] + torch.rand_like(rows)


def test_what_was_drawn_is_given_out_again_other_draws_included() -> None:
    rows, kept = torch.ones(5, 3), Kept()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        plain = chance(rows)
        torch.manual_seed(1)
        with Record(kept):
            recorded = chance(rows)
        replay = Replay(kept)
        for seed in (2, 3):  # whatever the generator has come to, and more than once
            torch.manual_seed(seed)
            with replay:
                assert torch.equal(chance(rows), plain)
    assert torch.equal(recorded, plain)


class Block(nn.Module):
    """A layer with much dropout, and noise of its own in training."""

    def __init__(self, noisy: bool) -> None:
        super().__init__()
        self.line, self.drop, self.noisy = nn.Linear(16, 16), nn.Dropout(0.4), noisy

    def forward(self, rows: Tensor) -> Tensor:
        rows = self.drop(self.line(rows).relu())
        return rows + torch.rand_like(rows) if self.noisy else rows


class Blocks(nn.Module):
    def __init__(self, noisy: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(noisy) for _ in range(3))

    def forward(self, rows: Tensor) -> Tensor:
        for block in self.blocks:
            rows = block(rows)
        return rows


def gradients(network: nn.Module, twice: bool = False) -> list[Tensor]:
    network.zero_grad()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        loss = network(torch.linspace(-1, 1, 160).view(10, 16)).square().mean()
        loss.backward(retain_graph=twice)
        if twice:
            torch.manual_seed(5)  # so that drawing anew would show
            loss.backward()
    return [one.grad.clone() for one in network.parameters() if one.grad is not None]


@pytest.mark.parametrize("noisy", [False, True])
def test_a_block_is_computed_again_without_drawing(
    noisy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Blocks(noisy)
    plain = gradients(network)
    recompute(network)
    given_out: list[torch.Size] = []

    def seen(bits: Tensor, shape: torch.Size) -> Tensor:
        given_out.append(shape)
        return mask_of(bits, shape)

    monkeypatch.setattr(second_pass, "mask_of", seen)
    for one, other in zip(plain, gradients(network), strict=True):
        assert torch.equal(one, other)
    assert given_out == [torch.Size([10, 16])] * 3
    for one, other in zip(plain, gradients(network, twice=True), strict=True):
        assert torch.equal(2 * one, other)


def test_without_the_masks_a_graph_that_goes_back_from_another_seed_is_the_same_too() -> None:
    """Torch's own way of keeping the generator stands behind it, for GPUs and compilers."""
    network = Blocks(noisy=False)
    plain = gradients(network)
    recompute(network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activations, "all_on_cpu", lambda _: False)
        for one, other in zip(plain, gradients(network), strict=True):
            assert torch.equal(one, other)


def test_a_wrong_mask_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Blocks(noisy=False)
    plain = gradients(network)
    recompute(network)
    monkeypatch.setattr(second_pass, "mask_of", lambda _, shape: torch.ones(shape))
    others = gradients(network)
    assert not all(torch.equal(one, other) for one, other in zip(plain, others, strict=True))


def test_the_bytes_of_masks_are_counted_and_let_go() -> None:
    network = Blocks(noisy=False)
    rows = torch.randn(10, 16)
    recompute(network)
    with watched(network.parameters()) as meter:
        loss = network(rows).sum()
        inputs = 3 * rows.nbytes
        assert meter.live_bytes >= inputs + 3 * 20  # 160 bits a block
        loss.backward()
        del loss
    assert meter.live_bytes == 0


def test_blocks_without_dropout_are_not_looked_at_twice() -> None:
    network = Blocks(noisy=False)
    for block in network.blocks:
        assert isinstance(block, Block)
        block.drop.p = 0.0
    recompute(network)
    gradients(network)
    assert [vars(block)["forward"].keeps for block in network.blocks] == [False] * 3


class Narrows(nn.Module):
    """Wide and narrow again, with what writes into the narrow product or does not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(16, 64), nn.Linear(64, 16)
        self.bend = nn.ReLU(inplace=in_place)

    def forward(self, rows: Tensor) -> Tensor:
        return self.bend(self.narrow(self.wide(rows).tanh()))


class Written(nn.Module):
    """Blocks whose answers are written into when the block is done."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 16)) for _ in range(3)
        )

    def forward(self, rows: Tensor) -> Tensor:
        for block in self.blocks:
            rows = block(rows).relu_()
        return rows


@pytest.mark.parametrize(
    "make", [lambda: nn.Sequential(*(Narrows(True) for _ in range(3))), Written]
)
def test_gradients_do_not_come_from_a_product_that_was_written_into(
    make: Callable[[], nn.Module],
) -> None:
    network = make()
    plain = gradients(network)
    recompute(network)
    for one, other in zip(plain, gradients(network), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("in_place", "products"), [(False, 3), (True, 6)])
def test_a_narrow_product_is_made_once_unless_it_was_written_into(
    in_place: bool, products: int
) -> None:
    network = nn.Sequential(*(Narrows(in_place) for _ in range(3)))
    plain = gradients(network)
    recompute(network)
    made: list[int] = []

    class Counts(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            made.append(narrows(func, args) and args[1].shape[1] == 64)
            return func(*args, **(kwargs or {}))

    with Counts():
        again = gradients(network)
    assert sum(made) == products
    for one, other in zip(plain, again, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(plain, gradients(network, twice=True), strict=True):
        assert torch.equal(2 * one, other)
