"""Every source of chance that a run may draw from, kept apart from the caller's."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def apart(seed: int, *, rank: int = 0, cuda: bool = False) -> Iterator[None]:
    """Seed torch, numpy and Python for a run, and put them back as they were after it.

    Args:
        seed: of the run.
        rank: of this process, from 0: each draws numbers of its own.
        cuda: keep the generators of GPUs apart too.
    """
    python, words = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if cuda else ()
    with torch.random.fork_rng(devices=devices):
        sow(seed_of(seed, rank))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(words)


def sow(seed: int) -> None:
    """Seed every generator."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def seed_of(seed: int, rank: int, step: int = 0) -> int:
    """The run's own seed for process 0; for the others one that follows from it."""
    if rank == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {rank} {step}".encode()).digest()[:7])


def generators(*, cuda: bool = False) -> dict[str, Any]:
    """Where each of them stands, as tensors and plain data."""
    kind, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, internal, following = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda else [],
        "python": [version, list(internal), following],
        "numpy": {
            "kind": str(kind),
            "words": torch.from_numpy(np.asarray(words).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
    }


def go_on_drawing(state: Mapping[str, Any], seed: int, rank: int, step: int) -> None:
    """Take generators up after ``step`` steps; those kept are process 0's, others sow anew."""
    if rank == 0:
        set_generators(state)
    else:
        sow(seed_of(seed, rank, step))


def set_generators(state: Mapping[str, Any]) -> None:
    """Put each of them where `generators` found it."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    version, internal, following = state["python"]
    random.setstate((version, tuple(internal), following))
    told = state["numpy"]
    words = told["words"].numpy().astype(np.uint32)
    np.random.set_state((told["kind"], words, told["position"], told["has_gauss"], told["gauss"]))
