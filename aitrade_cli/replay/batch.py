"""A batch: named arrays that share one block of gathered records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int64

Array: TypeAlias = np.ndarray | torch.Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that were drawn together.

    Attributes:
        fields: by name: the fields of the schema, ``next_obs…``, ``terminated`` and
            ``truncated`` (bool), ``discount`` (float32: gamma to the number of steps that
            ``reward`` sums, 0 where the episode terminated on the way).
        indices: what ``update_priorities`` wants back.
        weights: importance weights, ``None`` where all weigh 1.
    """

    fields: dict[str, Array]
    indices: Int64[np.ndarray, " n"]
    weights: Float32[np.ndarray, " n"] | None = None

    def __getitem__(self, name: str) -> Array:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.indices)
