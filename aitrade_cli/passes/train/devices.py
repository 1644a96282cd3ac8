"""Whether a run is one process or several, and one process' part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import torch

from aitrade_cli.errors import Missing, Usage
from aitrade_cli.passes.train.kept import refuse_run_in_the_way
from aitrade_cli.passes.train.launched import refuse_launcher
from aitrade_cli.passes.train.prepare import Prepared, prepare
from aitrade_cli.passes.train.run import Made, train_here
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.system.host import usable_cores
from aitrade_cli.training.distributed.group import Seat, device_for, joined, seat_from_torchrun
from aitrade_cli.training.distributed.launch import spread
from aitrade_cli.training.offloading import stale_build_locks

Say = Callable[[str], None]


class NoDeepSpeed(Missing):
    """DeepSpeed was asked to share out a training, and it is not installed."""

    default_hint = (
        "pip install 'aitrade-cli[deepspeed]', or `--shard full`: torch's own FSDP2 needs no extra"
    )


def train(settings: Settings, output: str, say: Say = lambda _: None) -> Made | None:
    """Train on as many devices as were asked for and are there; the same code on one.

    Under torchrun or Accelerate this process is one of the group that was started.

    Args:
        settings: what was asked for.
        output: name of the file that the artefact will be written to.
        say: told what is happening.

    Returns:
        What came of it; None in a process of torchrun's other than the first.

    Raises:
        Usage: Accelerate was to start several processes or set something, and it would not be so.
        NoDeepSpeed: it was asked for, and is not installed.
        StateInTheWay: the run's folder holds another run.
        WorkerKilled, WorkerFailed: one of several processes died, and so all were ended.
    """
    seat = seat_from_torchrun()
    refuse_to_start(settings, say if seat is None or seat.rank == 0 else lambda _: None)
    if seat is not None:
        refuse_to_find(settings)
        if seat.rank == 0:
            refuse_run_in_the_way(settings)
        with joined(seat, device_for(seat)):
            made = work(seat, say if seat.rank == 0 else lambda _: None, settings, output)
        return made if seat.rank == 0 else None
    refuse_run_in_the_way(settings)
    world = devices_for(settings, say)
    if world == 1 and settings.values["spread.shard"] == "none":
        return train_here(settings, output, say)
    ready = prepare(settings, say, world)  # what is measured, is measured once
    threads = max(1, torch.get_num_threads() // world)
    made = spread(work, (told(settings, ready), output), world=world, threads=threads, say=say)
    found = ready.found
    report = replace(made.report, leaks=ready.leaks, precision=found.precision, batch=found.batch)
    return replace(made, report=report)


def work(seat: Seat, say: Say, settings: Settings, output: str) -> Made:
    """One process' part, in a group that it has joined."""
    return train_here(settings, output, say, seat)


def refuse_to_start(settings: Settings, say: Say) -> None:
    """Stop for what no model and no bars would change: the launcher, a package that is missing.

    Raises:
        Usage: Accelerate was told what a run would not do.
        NoDeepSpeed: it was asked for, and is not installed.
    """
    refuse_launcher(settings.values)
    if settings.values["spread.shard"] != "deepspeed":
        return
    if find_spec("deepspeed") is None:
        raise NoDeepSpeed("DeepSpeed is not installed")
    for lock in stale_build_locks():
        say(
            f"`{lock}` is of a build that was killed here: whoever builds that again waits for"
            " ever; remove it, unless another machine builds. This run compiles nothing"
        )


def devices_for(settings: Settings, say: Say) -> int:
    """As many as were asked for, or as there are; which of the two is said."""
    asked, there = settings.values["spread.devices"], devices_here(settings.values["device"])
    world = min(asked, there)
    if world < asked:
        say(f"{asked} devices were asked for and {there} is here: training on {world}")
    elif asked > 1:
        say(f"{world} processes share each batch")
    if settings.values["spread.shard"] != "none" and world == 1:
        say("one device: sharding by the same code, nothing to share with")
    if settings.values["spread.offload"] and not torch.cuda.is_available():
        say("no GPU: what is offloaded to main memory is there already")
    return world


def devices_here(device: str) -> int:
    """GPUs where there are any and they are wanted, else processors."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return len(usable_cores())


def refuse_to_find(settings: Settings) -> None:
    """Processes that measure on their own come to different choices.

    Raises:
        Usage: something is to be found by measurement, in a group started by torchrun.
    """
    if settings.amp == "auto" or settings.finds_batch:
        raise Usage(
            "under torchrun each process would choose its own batch or number format",
            hint="name them: `--batch 256 --amp bf16`",
        )


def told(settings: Settings, ready: Prepared) -> Settings:
    """The same request with what was found, for workers that are not to look again."""
    found = {
        "training.batch": ready.recipe.batch,
        "training.amp": ready.recipe.precision,
        "training.workers": ready.found.loader.workers,
    }
    values = {**settings.values, **found}
    return replace(settings, values=values, recipe=ready.recipe, proven=True)
