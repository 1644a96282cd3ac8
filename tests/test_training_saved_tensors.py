"""Without copies of weights autograd still notices what is written into before it is needed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from aitrade_cli.training.activations import watched
from aitrade_cli.training.weight_copies import ChangedMeanwhile, copies_let_go


@pytest.mark.parametrize("metered", [False, True])
def test_an_activation_that_is_changed_in_place_is_an_error(metered: bool) -> None:
    given = torch.randn(4, 3, requires_grad=True)
    with watched(()) if metered else nullcontext(), copies_let_go():
        answer = torch.sigmoid(given)
        answer.mul_(2.0)
    with pytest.raises(ChangedMeanwhile, match=r"\(4, 3\) was changed in place"):
        answer.sum().backward()


def test_torch_itself_says_so_without_hooks() -> None:
    answer = torch.sigmoid(torch.randn(4, requires_grad=True))
    answer.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        answer.sum().backward()


def test_what_is_changed_in_place_and_not_needed_again_is_none() -> None:
    given = torch.randn(4, requires_grad=True)
    with copies_let_go():
        answer = (given * 2.0).add_(1.0).relu_()
    answer.sum().backward()
    assert given.grad is not None
    assert torch.equal(given.grad, 2.0 * (given * 2.0 + 1.0 > 0))
