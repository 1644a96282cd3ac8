"""DeepSpeed's ZeRO-2: each process keeps its part of the gradient and of the moments."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aitrade_cli.errors import Usage
from aitrade_cli.training.distributed.driven import Driven
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.placements import DataParallel
from aitrade_cli.training.recipe import Recipe

LARGEST_BUCKET: Final = 500_000_000  # gradients exchanged at once, DeepSpeed's own choice


class ZeroTwo(DataParallel):
    """Gradients and AdamW's moments are shared out evenly; weights are whole everywhere.

    The moments are torch's own AdamW's, on the part of the weights that a process updates.
    DeepSpeed compiles nothing: neither its own Adam nor its exchange in shared memory is used.
    For a process of its own, as `launch.spread` or torchrun start them: DeepSpeed is told by the
    environment, and its log is shut, for as long as the process lives.

    Args:
        seat: of this process, in a group that it has joined.
        device: where it computes.
        offload: moments, and the copy of the weights that they update, lie in main memory.

    Source:
        Rajbhandari et al. 2020. https://arxiv.org/abs/1910.02054
    """

    def __init__(self, seat: Seat, device: torch.device, *, offload: bool = False) -> None:
        super().__init__(seat, device)
        self.features: tuple[str, ...] = ("deepspeed", "offload") if offload else ("deepspeed",)
        self.local, self.offload = seat.local, offload
        self.name = f"{seat.world} processes, DeepSpeed ZeRO-2{', offloaded' if offload else ''}"
        self.driven: Driven | None = None

    @property
    def engaged(self) -> Driven:
        """What drives the run; only between `engage` and `release`."""
        assert self.driven is not None
        return self.driven

    def wrap(self, network: nn.Module) -> nn.Module:
        """As it is: DeepSpeed wants the optimizer with it, see `engage`."""
        return network

    def engage(
        self, model: nn.Module, optimizer: Optimizer, recipe: Recipe
    ) -> tuple[nn.Module, Optimizer, Callable[[], None]]:
        """Hand the network and its optimizer to an engine; all start from process 0's weights.

        Raises:
            Usage: a weight is not float32.
        """
        for name, weight in model.named_parameters():
            if weight.dtype != torch.float32:
                raise Usage(f"DeepSpeed trains float32 weights; `{name}` is {weight.dtype}")
        trained = [weight for group in optimizer.param_groups for weight in group["params"]]
        with started_quietly(self.local, self.device) as deepspeed:
            engine, *_ = deepspeed.initialize(
                model=model,
                optimizer=optimizer,
                config=config_of(recipe, trained, self.world, offload=self.offload),
                dist_init_required=False,  # it takes the group that was joined
            )
        engine.set_gradient_accumulation_boundary(True)
        self.driven = Driven(engine, optimizer, trained)
        return engine, self.driven, self.release

    def sync(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients are shared out after every part; the last one ends their sum."""
        del model
        self.engaged.engine.set_gradient_accumulation_boundary(last)
        return nullcontext()

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """The engine takes each gradient away as it comes."""
        del model
        self.engaged.engine.backward(loss, scale_wrt_gas=False)

    def clip(self, parameters: Sequence[nn.Parameter], norm: float) -> None:
        """The engine does so within its step: no process has the whole gradient."""

    def load(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Put weights back, and into the copy that is updated."""
        network.load_state_dict(dict(weights))
        if self.driven is not None:
            self.driven.engine.optimizer.refresh_fp32_params()

    def optimizer_state(self, network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
        """The whole state in the main memory of process 0, numbered as that of one process is."""
        del network, optimizer
        return self.engaged.whole_state(keep=self.rank == 0)

    def load_optimizer(
        self, network: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Give this process its part of whole moments."""
        del network, optimizer
        self.engaged.take_part_of(state)

    def release(self) -> None:
        """Give the network back: no hooks, and each weight in memory of its own."""
        driven, self.driven = self.engaged, None
        engine = driven.engine
        driven.reached.leave()
        engine.destroy()
        engine.module_forward_pre_hook.remove()
        engine.module_forward_post_hook.remove()
        for weight in engine.module.parameters():
            weight.data = weight.data.clone()


def bucket_of(trained: Sequence[nn.Parameter], world: int) -> int:
    """Numbers of the gradient that wait to be exchanged at once, beside the part that stays."""
    sizes = [weight.numel() for weight in trained]
    return min(LARGEST_BUCKET, max(*sizes, sum(sizes) // world))


def config_of(
    recipe: Recipe, trained: Sequence[nn.Parameter], world: int, *, offload: bool
) -> dict[str, Any]:
    """What DeepSpeed is told; batches, rates and parts of a step stay the loop's own."""
    zero: dict[str, Any] = {"stage": 2, "reduce_bucket_size": bucket_of(trained, world)}
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": trained[0].is_cuda}
    config = {
        "train_micro_batch_size_per_gpu": 1,  # it has to be told one, and only counts with it
        "gradient_accumulation_steps": 1,  # else it would divide: our shares are to be added up
        "gradient_clipping": recipe.clip_norm,
        "steps_per_print": None,
        "zero_allow_untested_optimizer": True,  # torch's AdamW
        "zero_force_ds_cpu_optimizer": False,  # its own would be compiled for a minute
        "zero_optimization": zero,
    }
    if recipe.precision == "bf16":
        # On a GPU it would shut an autocast that is not its own. With no layers named here,
        # gradients are exchanged in float32, as DDP does.
        config["torch_autocast"] = {
            "enabled": True,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        }
    return config


@contextmanager
def started_quietly(local: int, device: torch.device) -> Iterator[Any]:
    """The package, imported in a worker: what it has to say would land in the results.

    Args:
        local: number of this process on this machine.
        device: where it computes.
    """
    os.environ["LOCAL_RANK"] = str(local)
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    # Its calls of torch's exchanges are outdated: not the user's to mend.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.", FutureWarning)
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        deepspeed, ops = import_module("deepspeed"), import_module("deepspeed.ops")
        logging.getLogger("DeepSpeed").disabled = True
        # What it could compile on first use: a build that is killed leaves a lock, on which all
        # later runs would hang.
        ops.__dict__["__compatible_ops__"] = {}
        yield deepspeed
