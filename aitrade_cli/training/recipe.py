"""Settings of one training run, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one training run; the defaults suit some thousand windows on a CPU.

    Attributes:
        batch: windows that one step learns from, over all processes together.
        learning_rate: the highest; the schedule says when.
        warmup_share: of all steps, for the schedules that warm up.
        clip_norm: gradients longer than this are shortened to it.
        patience: epochs without a better validation loss before stopping; counts where
            ``early_stop`` names no patience of its own.
        schedule: a name in `schedules.SCHEDULES`.
        restart_epochs: length of the first cycle of ``restarts``; 0 makes it a quarter of all.
        restart_factor: by how much each later cycle is longer, >= 1.
        accumulate: parts that a step is computed in, one after the other; memory falls, the
            mathematics stays.
        precision: what matrix products are computed in; weights stay float32.
        activation_checkpointing: compute activations again going back instead of keeping them.
        compile: let `torch.compile` make the forward and backward passes.
        average: decay of a moving average of the weights, 0 to 1; it is what is validated and
            kept. 0 keeps the weights themselves.
        early_stop: criteria as `criteria.parse_criteria` reads them; empty: validation loss.
        fused: one kernel for the whole optimizer step; faster, sums in another order.
    """

    epochs: int = 20
    batch: int = 64
    learning_rate: float = 1e-3
    warmup_share: float = 0.1
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    patience: int = 5
    seed: int = 0
    schedule: str = "cosine"
    restart_epochs: int = 0
    restart_factor: int = 1
    accumulate: int = 1
    precision: Precision = "fp32"
    activation_checkpointing: bool = False
    compile: bool = False
    average: float = 0.0
    early_stop: str = ""
    fused: bool = False
