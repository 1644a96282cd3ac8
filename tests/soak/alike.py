"""Whether two nested states are the same, bit by bit, and where they are not."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Places at which two states are not the same, bit by bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and torch.equal(bits(one), bits(other))
        return [] if alike else [at]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [said for key in one for said in differences(one[key], other[key], f"{at}.{key}")]
    if isinstance(one, list | tuple) and type(one) is type(other) and len(one) == len(other):
        return differences(dict(enumerate(one)), dict(enumerate(other)), at)
    nans = [isinstance(value, float) and math.isnan(value) for value in (one, other)]
    return [] if all(nans) or one == other else [at]


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
