"""What Accelerate told a process that it started, and this program would not do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from aitrade_cli.errors import Usage
from aitrade_cli.training.precision import PRECISIONS

PRECISION: Final = "ACCELERATE_MIXED_PRECISION"  # set in every process that it starts
SHARDS: Final = {"ACCELERATE_USE_DEEPSPEED": "deepspeed", "ACCELERATE_USE_FSDP": "full"}
OTHERS: Final = {
    "ACCELERATE_USE_MEGATRON_LM": "use_megatron_lm",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "use_parallelism_config",
}


def refuse_launcher(values: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Stop before a run that would be another one than Accelerate was asked for.

    It starts processes and tells them its settings by their environment; what they share out and
    in which format they multiply, a recipe says. ``accelerate launch --cpu --num_processes 2``
    leaves it to MPI to start the second: it names a meeting point, and no rank. Stages, buckets,
    clipping, accumulation and offloading that it was told are not compared.

    Args:
        values: of the recipe, by full names.
        environment: of this process.

    Raises:
        Usage: each process would train alone, or a setting would not be heeded.
    """
    if PRECISION not in environment:
        return
    if "MASTER_ADDR" in environment and "RANK" not in environment:
        raise Usage(
            "Accelerate was asked for several processes and told this one no rank",
            hint="`accelerate launch --multi_gpu --num_processes 2 --num_machines 1` starts two,"
            " on CPUs too",
        )
    asked = environment[PRECISION]
    if asked not in {"no", values["training.amp"]}:
        near = asked if asked in PRECISIONS else "bf16"
        raise not_heeded(f"--mixed_precision {asked}", f"`--amp {near}`")
    for variable, shard in SHARDS.items():
        if environment.get(variable) == "true" and values["spread.shard"] != shard:
            raise not_heeded(variable.removeprefix("ACCELERATE_").lower(), f"`--shard {shard}`")
    for variable, setting in OTHERS.items():
        if environment.get(variable) == "true":
            raise not_heeded(f"--{setting}", "`--shard full`, which shares out weights too")
    compiler = environment.get("ACCELERATE_DYNAMO_BACKEND", "NO")
    if compiler != "NO" and not values["training.compile"]:
        raise not_heeded(f"--dynamo_backend {compiler.lower()}", "`--compile`")


def not_heeded(setting: str, instead: str) -> Usage:
    return Usage(
        f"Accelerate was given `{setting}`, which a run does not read",
        hint=f"tell it `aitrade train` by {instead}",
    )
