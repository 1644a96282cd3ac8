"""The smallest weights go, in the number asked for, and what was zero stays zero."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.pruning.masks import (
    apply,
    masks_of,
    pattern_masks,
    smallest,
    weights_of,
    zeros_of,
)
from aitrade_cli.model.pruning.schedule import Growing, Held, cubic
from tests.pruning_cases import network_named


@st.composite
def weights(draw: st.DrawFn) -> Tensor:
    rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    seed = draw(st.integers(0, 1000))
    made = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return made.round(decimals=draw(st.integers(0, 3)))  # ties


shares = st.floats(0.0, 0.99)


@given(weights(), shares)
def test_nothing_dropped_is_larger_than_anything_kept(weight: Tensor, share: float) -> None:
    marked = smallest(weight, share)
    assert int(marked.sum()) == int(share * weight.numel() + 1e-9)
    if marked.any():
        assert weight[marked].abs().max() <= weight[~marked].abs().min()


@given(weights(), shares)
def test_what_is_dropped_comes_first_in_a_stable_order(weight: Tensor, share: float) -> None:
    magnitude = np.abs(weight.numpy()).ravel()
    dropped = np.argsort(magnitude, kind="stable")[: int(share * magnitude.size + 1e-9)]
    assert set(smallest(weight, share).flatten().nonzero().flatten().tolist()) == set(dropped)


@given(weights(), shares)
def test_pruning_again_changes_nothing(weight: Tensor, share: float) -> None:
    marked = smallest(weight, share)
    again = smallest(weight.masked_fill(marked, 0.0), share)
    assert (
        weight.masked_fill(marked, 0.0)
        .masked_fill(again, 0.0)
        .equal(weight.masked_fill(marked, 0.0))
    )


def test_an_infinite_weight_that_is_dropped_leaves_no_nan() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.fill_(float("inf"))
    apply(layer, {"weight": torch.tensor([[True, False]])})
    assert layer.weight.tolist() == [[0.0, float("inf")]]


def test_a_nan_is_refused() -> None:
    with pytest.raises(BadInput, match="NaN"):
        smallest(torch.tensor([[float("nan"), 1.0]]), 0.5)


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    with pytest.raises(BadInput, match="must be in"):
        smallest(torch.ones(2, 2), sparsity)


def test_overall_a_layer_of_small_weights_loses_more() -> None:
    network = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    with torch.no_grad():
        next(network[0].parameters()).mul_(1e-6)
    apply(network, masks_of(network, 0.5, per_layer=False))
    assert [one.zeros for one in zeros_of(network)] == [100, 0]


def test_per_layer_each_loses_the_same() -> None:
    network = network_named("transformer")
    apply(network, masks_of(network, 0.5, per_layer=True))
    assert all(one.zeros == one.weights // 2 for one in zeros_of(network))


def test_biases_and_norms_are_left_alone() -> None:
    network = network_named("transformer")
    assert all(value.dim() >= 2 for value in weights_of(network).values())


@pytest.mark.parametrize(("keep", "of"), [(2, 4), (1, 4), (4, 8)])
def test_a_pattern_keeps_the_largest_of_each_group(keep: int, of: int) -> None:
    """Against a slow loop over groups."""
    network = network_named("deeplob")
    before = {name: value.detach().clone() for name, value in weights_of(network).items()}
    masks = pattern_masks(network, keep, of)
    apply(network, masks)
    assert masks
    for name, value in weights_of(network).items():
        rows = before[name].flatten(1)
        if rows.shape[1] % of:
            assert value.equal(before[name])
            continue
        wanted = rows.clone().reshape(-1, of)
        for group in wanted:
            for place in np.argsort(group.abs().numpy(), kind="stable")[: of - keep]:
                group[place] = 0.0
        assert value.detach().flatten(1).equal(wanted.reshape(rows.shape))


@pytest.mark.parametrize(("keep", "of"), [(0, 4), (4, 4), (5, 4)])
def test_a_pattern_that_keeps_none_or_all_is_refused(keep: int, of: int) -> None:
    with pytest.raises(BadInput, match="no pattern"):
        pattern_masks(network_named("mlp"), keep, of)


def test_the_cubic_schedule_is_that_of_the_paper() -> None:
    """Values by hand from s_f + (s_i - s_f)(1 - t/n)^3."""
    assert cubic(0, 100, 0.8) == 0.0
    assert cubic(50, 100, 0.8) == pytest.approx(0.7)  # 0.8 - 0.8 / 8
    assert cubic(100, 100, 0.8) == 0.8
    assert cubic(500, 100, 0.8) == 0.8
    assert cubic(50, 100, 0.9, first=0.1) == pytest.approx(0.8)  # 0.9 - 0.8 / 8


@given(st.integers(1, 200), st.floats(0.0, 0.99))
def test_it_never_falls(steps: int, final: float) -> None:
    curve = [cubic(step, steps, final) for step in range(steps + 2)]
    assert all(later >= earlier for earlier, later in pairwise(curve))


@pytest.mark.parametrize(("step", "steps"), [(-1, 10), (0, 0)])
def test_a_schedule_without_steps_is_refused(step: int, steps: int) -> None:
    with pytest.raises(BadInput, match="is none"):
        cubic(step, steps, 0.5)


def test_growing_arrives_and_holds() -> None:
    network, growing = network_named("mlp"), Growing(0.8, every=5)
    seen = []
    for step in range(1, 41):
        with torch.no_grad():
            for value in weights_of(network).values():
                value.add_(0.01)  # an optimizer would move every weight
        growing(network, step, 40)
        zeros = zeros_of(network)
        seen.append(sum(one.zeros for one in zeros) / sum(one.weights for one in zeros))
    assert seen == sorted(seen)
    assert seen[29] == pytest.approx(0.8, abs=1e-3)  # three quarters of 40
    assert seen[-1] == pytest.approx(0.8, abs=1e-3)


def test_held_zeros_come_back_after_every_step() -> None:
    network = network_named("lstm")
    held = Held(masks_of(network, 0.5, per_layer=True))
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1.0)
    held(network, 1, 10)
    assert all(one.zeros == one.weights // 2 for one in zeros_of(network))
