"""Which training optimisations may not be combined, in one table, and why."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from aitrade_cli.errors import Usage
from aitrade_cli.training.goal import Objective
from aitrade_cli.training.placement import Placement
from aitrade_cli.training.recipe import Recipe

FEATURES: Final = (
    "accumulate",
    "bf16",
    "fp16",
    "activation_checkpointing",
    "compile",
    "average",
    "early_stop",
    "batch_norm",
    "recurrent",
    "cpu",
    "cuda",
    "ddp",
    "shard",
    "offload",
    "deepspeed",
    "lora",
    "hogwild",
    "workers",
)


class NotTogether(Usage):
    """Two optimisations that would give a wrong or a hanging run."""


class NotEqual(UserWarning):
    """Two optimisations that run together, but not as either would alone."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two features, and what is wrong with both at once.

    Attributes:
        refused: the run is not started; else it is warned of.
    """

    one: str
    other: str
    reason: str
    hint: str = ""
    refused: bool = True


TABLE: Final[tuple[Pair, ...]] = (
    Pair(
        "accumulate",
        "batch_norm",
        "batch norm takes its mean over each part, so an accumulated step is not the whole one",
        "use layer norm, or a batch that fits",
        refused=False,
    ),
    Pair(
        "ddp",
        "batch_norm",
        "batch norm takes its mean over each process' part, so the step is not the whole one",
        "use layer norm",
        refused=False,
    ),
    Pair(
        "compile",
        "recurrent",
        "a recurrent layer is one call already: compiling gains nothing and takes minutes",
        "leave `--compile` out",
        refused=False,
    ),
    Pair(
        "hogwild",
        "batch_norm",
        "running means are no gradients: processes would overwrite each other's",
        "use layer norm",
    ),
    Pair("hogwild", "cuda", "lock-free steps need weights in shared host memory", "`--device cpu`"),
    Pair("hogwild", "compile", "each process would compile the same network", "drop one of them"),
    Pair("hogwild", "accumulate", "its steps are small on purpose", "leave `--accumulate` out"),
    Pair("hogwild", "fp16", "a loss scale cannot be shared without a lock", "`--amp fp32`"),
    Pair("hogwild", "ddp", "both spread the same batch over processes", "drop one of them"),
    Pair("hogwild", "shard", "weights have to lie whole in shared memory", "drop one of them"),
    Pair(
        "shard",
        "average",
        "the averaged weights would lie whole in every process",
        "leave `--average` out",
    ),
    Pair(
        "shard",
        "fp16",
        "each process would see overflow in its own part alone and scale differently",
        "`--amp bf16`",
    ),
    Pair(
        "shard",
        "batch_norm",
        "batch norm takes its mean over each process' part, so the step is not the whole one",
        "use layer norm",
        refused=False,
    ),
    Pair(
        "deepspeed",
        "fp16",
        "it keeps weights in float16 then and scales the loss by rules of its own",
        "`--amp bf16`",
    ),
    Pair(
        "deepspeed",
        "batch_norm",
        "batch norm takes its mean over each process' part, so the step is not the whole one",
        "use layer norm",
        refused=False,
    ),
    Pair("hogwild", "deepspeed", "both spread the same batch over processes", "drop one of them"),
    Pair("lora", "deepspeed", "adapters are proven in one process", "leave `--shard` out"),
    Pair("hogwild", "lora", "weights made of two parts cannot be shared", "drop one of them"),
    Pair("hogwild", "bf16", "its steps are too small to gain from it", "`--amp fp32`"),
    Pair("hogwild", "average", "an average has to see every step in order", "drop one of them"),
    Pair("hogwild", "early_stop", "it stops by the validation loss alone", "`--patience`"),
    Pair("hogwild", "activation_checkpointing", "its steps are small on purpose", "drop one"),
    Pair(
        "hogwild",
        "workers",
        "its processes cut their windows out of shared memory themselves",
        "leave `--workers` out",
    ),
    Pair("lora", "ddp", "adapters are proven in one process", "leave `--devices` out"),
    Pair("lora", "shard", "adapters are proven on whole weights", "leave `--shard` out"),
    Pair("ddp", "shard", "sharding spreads the batch already", "leave `--shard` or DDP out"),
)


def refuse_illegal(features: Collection[str], *, warn: bool = True) -> None:
    """Stop before a run that would be wrong, and warn of one that is not equal to a plain run.

    Args:
        features: of `FEATURES`, those that the run would have.
        warn: of pairs that run together.

    Raises:
        NotTogether: with the reason.

    Warns:
        NotEqual: with the reason.
    """
    for pair in TABLE:
        if pair.one in features and pair.other in features:
            told = f"`{pair.one}` and `{pair.other}` together: {pair.reason}"
            if pair.refused:
                raise NotTogether(told, hint=pair.hint)
            if warn:
                warnings.warn(NotEqual(told), stacklevel=2)


def features_of(recipe: Recipe, network: nn.Module, placement: Placement) -> frozenset[str]:
    """What a run would have, of `FEATURES`; callers add those that a recipe does not know."""
    return frozenset(_features(recipe, network, placement))


def _features(recipe: Recipe, network: nn.Module, placement: Placement) -> Iterator[str]:
    if recipe.accumulate > 1:
        yield "accumulate"
    if recipe.precision != "fp32":
        yield recipe.precision
    for name in ("activation_checkpointing", "compile", "average", "early_stop"):
        if getattr(recipe, name):
            yield name
    if any(isinstance(part, _BatchNorm) for part in network.modules()):
        yield "batch_norm"
    if any(isinstance(part, nn.RNNBase) for part in network.modules()):
        yield "recurrent"
    yield next((weight.device.type for weight in network.parameters()), "cpu")
    yield from placement.features


def refuse_out_of_range(recipe: Recipe, objective: Objective, placement: Placement) -> None:
    """Refuse settings out of their ranges.

    Raises:
        Usage: with the setting and its value.
    """
    wanted = (
        ("batch", recipe.batch, recipe.batch >= 1),
        ("accumulate", recipe.accumulate, 1 <= recipe.accumulate <= recipe.batch),
        ("learning_rate", recipe.learning_rate, 0 < recipe.learning_rate < math.inf),
        ("average", recipe.average, 0 <= recipe.average < 1),
        ("clip_norm", recipe.clip_norm, recipe.clip_norm > 0),
        ("warmup_share", recipe.warmup_share, 0 <= recipe.warmup_share < 1),
    )
    for name, value, fits in wanted:
        if not fits:
            raise Usage(f"`{name}` of `{value}` is out of its range")
    shared = placement.world > 1 or "deepspeed" in placement.features
    if shared and any(True for _ in objective.helper.parameters()):
        raise Usage("an objective with weights of its own trains in one process only")
