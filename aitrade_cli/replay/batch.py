"""A batch: named arrays that share one block of gathered records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.nested import nest

if TYPE_CHECKING:
    from torch import Tensor

    Array: TypeAlias = np.ndarray | Tensor
else:
    Array: TypeAlias = Any  # torch is imported by those who ask for tensors only


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

    fields: Mapping[str, Array]
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

    def nested(self, name: str) -> Value:
        """A dict or tuple observation as the environment gave it: ``batch.nested("obs")``."""
        return nest(self.fields, name)


def new_block(rows: int, record_bytes: int, device: str | None) -> UInt8[np.ndarray, "n record"]:
    """Room for gathered records; page-locked where they go on to a CUDA device."""
    if device is not None and device.startswith("cuda"):
        import torch

        return torch.empty((rows, record_bytes), dtype=torch.uint8, pin_memory=True).numpy()
    return np.empty((rows, record_bytes), np.uint8)


def as_tensors(fields: Mapping[str, np.ndarray], device: str) -> dict[str, Array]:
    """The same memory as tensors; on another device a copy that does not wait."""
    import torch

    made: dict[str, Array] = {}
    for name, array in fields.items():
        tensor = torch.from_numpy(array)
        made[name] = tensor if device == "cpu" else tensor.to(device, non_blocking=True)
    return made
