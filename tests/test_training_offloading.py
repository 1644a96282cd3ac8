"""Offloading that would train nothing is refused, and a build that hangs is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aitrade_cli.training.offloading import (
    NoGradients,
    refuse_inference_offload,
    stale_build_locks,
)


def test_weights_that_are_not_in_memory_are_refused() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, device="meta"))
    with pytest.raises(NoGradients, match=r"`1\.weight` is not in memory"):
        refuse_inference_offload(network)


def test_a_part_that_accelerate_offloads_is_named() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    refuse_inference_offload(network)
    network[1].__dict__["_hf_hook"] = SimpleNamespace(offload=True)
    with pytest.raises(NoGradients, match="`1` are offloaded by Accelerate"):
        refuse_inference_offload(network)


def test_accelerate_itself_is_recognized() -> None:
    accelerate = pytest.importorskip("accelerate", reason="the extra is not installed")
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    accelerate.cpu_offload(network, execution_device=torch.device("cpu"))
    with pytest.raises(NoGradients):
        refuse_inference_offload(network)


def test_a_lock_that_nobody_holds_is_stale(tmp_path: Path) -> None:
    (tmp_path / "py311_cpu" / "fused_adam").mkdir(parents=True)
    lock = tmp_path / "py311_cpu" / "fused_adam" / "lock"
    assert stale_build_locks(tmp_path) == []
    with lock.open("w"):
        assert stale_build_locks(tmp_path) == []  # a build is under way
    assert stale_build_locks(tmp_path) == [lock]
    assert stale_build_locks(tmp_path / "none") == []
