"""The group of processes that a worker belongs to: entered, spoken in, left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist

from aitrade_cli.errors import Usage

LONGEST_SILENCE: Final = timedelta(minutes=10)  # of a process that is alive; the dead are seen


@dataclass(frozen=True, slots=True)
class Seat:
    """A process' place in its group.

    Attributes:
        rank: from 0, over all machines; ``world``: how many there are.
        local: from 0 on this machine: the number of its GPU.
        meeting: file through which the processes of one machine find each other; None where
            torchrun's variables say how.
    """

    rank: int
    world: int
    local: int
    meeting: Path | None = None


def seat_from_torchrun(environment: Mapping[str, str] = os.environ) -> Seat | None:
    """The place that torchrun gave this process; None where it was started by hand.

    Raises:
        Usage: its variables make no sense.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    try:
        rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment.get("LOCAL_RANK", rank))
    except ValueError as error:
        raise Usage(f"RANK and WORLD_SIZE are no whole numbers: {error}") from error
    if not 0 <= rank < world:
        raise Usage(f"RANK `{rank}` is not below WORLD_SIZE `{world}`")
    return Seat(rank, world, local)


def device_for(seat: Seat) -> torch.device:
    """A GPU of its own where there are enough, else the CPU."""
    if torch.cuda.is_available() and seat.local < torch.cuda.device_count():
        return torch.device("cuda", seat.local)
    return torch.device("cpu")


@contextmanager
def joined(seat: Seat, device: torch.device) -> Iterator[None]:
    """Be one of the group for as long as the block lasts; others wait until all have joined."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    place = "env://" if seat.meeting is None else f"file://{seat.meeting.absolute()}"
    dist.init_process_group(
        # What is offloaded, and short messages, go over main memory.
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=place,
        rank=seat.rank,
        world_size=seat.world,
        timeout=LONGEST_SILENCE,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()
