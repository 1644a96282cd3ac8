"""The libraries of `replay bench` that hand out tensors."""

# The peers are an extra, which a checker need not have.
# pyright: reportMissingImports=false

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from aitrade_cli.replay.bench.data import (
    ADD_MANY,
    ADD_ONE,
    ADD_ONE_PRIORITIZED,
    ALPHA,
    BETA,
    MANY,
    PART,
    PRIORITIZED,
    UNIFORM,
    UPDATE,
    Contender,
    Experience,
    transitions,
)
from aitrade_cli.replay.bench.rounds import Prepare, in_parts


def sb3(data: Experience) -> Contender:
    from gymnasium.spaces import Box, Discrete
    from stable_baselines3.common.buffers import ReplayBuffer

    buffer = ReplayBuffer(
        data.rows,
        Box(-np.inf, np.inf, (data.features,), np.float32),
        Discrete(4),
        device="cpu",
    )
    # Its rows can only be added one by one; these are written as `add` would write them.
    for start, end in in_parts(data.rows, PART):
        buffer.observations[start:end, 0] = data.obs[: end - start]
        buffer.next_observations[start:end, 0] = data.obs[1 : end - start + 1]
    buffer.full, buffer.pos = True, 0
    one = sb3_step(data, 0)
    arrays = [buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards]
    return Contender(
        "sb3",
        {
            ADD_ONE: lambda: lambda: buffer.add(*one),
            UNIFORM: lambda: lambda: buffer.sample(data.batch),
        },
        sum(array.nbytes for array in (*arrays, buffer.dones, buffer.timeouts)),
        "draws uniformly only, and adds one step at a time",
    )


def sb3_step(data: Experience, at: int) -> tuple[Any, ...]:
    obs, after = data.obs[at : at + 1], data.obs[at + 1 : at + 2]
    zero = np.zeros(1, dtype=np.float32)
    return obs, after, np.zeros(1, dtype=np.int64), zero, zero, [{}]


@contextmanager
def hushed() -> Iterator[None]:
    """Keep torchrl from writing to stdout, where the report goes."""
    logger = logging.getLogger("torchrl")
    with warnings.catch_warnings():
        # It warns that its C++ part cannot be loaded; the report's note says so too.
        warnings.simplefilter("ignore")
        import torchrl.data  # sets up its logger  # noqa: F401

        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def torchrl(data: Experience) -> Contender:
    with hushed():
        return filled_torchrl(data)


def filled_torchrl(data: Experience) -> Contender:
    from torchrl.data import LazyTensorStorage, ReplayBuffer

    uniform = ReplayBuffer(storage=LazyTensorStorage(data.rows), batch_size=data.batch)
    prioritized, lacking = torchrl_prioritized(data)

    buffers = [uniform] if prioritized is None else [uniform, prioritized]
    for buffer in buffers:
        for count in data.parts():
            buffer.extend(tensors_of(data, count))
    one, many = tensors_of(data, 1)[0], tensors_of(data, MANY)
    ways: dict[str, Prepare] = {
        ADD_ONE: lambda: lambda: uniform.add(one),
        ADD_MANY: lambda: lambda: uniform.extend(many),
        UNIFORM: lambda: uniform.sample,
    }
    if prioritized is not None:
        ways |= torchrl_ways(data, prioritized, one)
    row_bytes = 2 * 4 * data.features + 8 + 4 + 1
    return Contender("torchrl", ways, len(buffers) * row_bytes * data.rows, lacking)


def tensors_of(data: Experience, count: int) -> Any:  # noqa: ANN401 -- a TensorDict
    import torch
    from tensordict import TensorDict

    made = transitions(data, count)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in made.items()}
    return TensorDict(tensors, batch_size=[count])


def torchrl_prioritized(data: Experience) -> tuple[Any, str]:
    """Its prioritised buffer, or why there is none."""
    import torch
    from torchrl.data import LazyTensorStorage, ReplayBuffer
    from torchrl.data.replay_buffers.samplers import PrioritizedSampler

    try:
        sampler = PrioritizedSampler(data.rows, ALPHA, BETA)
    except (ImportError, NameError, RuntimeError) as error:
        said = " ".join(str(error).split())[:90]
        return None, (
            f"its C++ tree does not load on torch {torch.__version__} ({said}); prioritised "
            "draws are left out rather than compared with a substitute"
        )
    storage = LazyTensorStorage(data.rows)
    return ReplayBuffer(storage=storage, sampler=sampler, batch_size=data.batch), ""


def torchrl_ways(data: Experience, buffer: Any, one: Any) -> dict[str, Prepare]:  # noqa: ANN401 -- its own types
    def update() -> Callable[[], object]:
        import torch

        _, told = buffer.sample(return_info=True)
        priorities = torch.from_numpy(data.priorities())
        return lambda: buffer.update_priority(told["index"], priorities)

    return {
        ADD_ONE_PRIORITIZED: lambda: lambda: buffer.add(one),
        PRIORITIZED: lambda: buffer.sample,
        UPDATE: update,
    }
