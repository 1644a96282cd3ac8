"""Gradients sent in fewer bytes than they have: half of them, or two thin matrices."""

from __future__ import annotations

from typing import Final, Literal

from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from aitrade_cli.errors import Missing

Compression = Literal["none", "bf16", "fp16", "powersgd"]
COMPRESSIONS: Final = ("none", "bf16", "fp16", "powersgd")
POWERSGD_RANK: Final = 4
POWERSGD_WARMUP: Final = 10  # steps sent whole first; torch asks for two at the least


def compress(model: DistributedDataParallel, compression: Compression) -> None:
    """Choose what gradients are sent as.

    ``bf16`` and ``fp16`` halve the bytes and round each gradient once; ``powersgd`` sends a
    matrix as two thin ones and carries what it left out into the next step. All three change the
    result; they pay where the network between processes is slower than the arithmetic.

    Raises:
        Missing: ``bf16`` without NCCL, whose only exchange of that type torch takes.

    Source:
        Vogels et al. 2019. https://arxiv.org/abs/1905.13727
    """
    match compression:
        case "none":
            return
        case "bf16":
            if not on_gpu(model):
                raise Missing(
                    "gradients in bf16 are exchanged between GPUs only",
                    hint="`--compress-gradients fp16` works here too",
                )
            model.register_comm_hook(None, default_hooks.bf16_compress_hook)
        case "fp16":
            model.register_comm_hook(None, default_hooks.fp16_compress_hook)
        case "powersgd":
            state = powerSGD_hook.PowerSGDState(
                process_group=None,
                matrix_approximation_rank=POWERSGD_RANK,
                start_powerSGD_iter=POWERSGD_WARMUP,
            )
            model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


def on_gpu(model: nn.Module) -> bool:
    return any(weight.is_cuda for weight in model.parameters())
