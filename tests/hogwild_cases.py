"""Problems for processes that train together; they import this module, so it imports little."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WORDS = 64


def in_a_worker() -> bool:
    return multiprocessing.parent_process() is not None


@dataclass
class Words:
    """Each row is one word and its value. A batch moves the embeddings of its words alone."""

    count: int = WORDS * 32
    helper: nn.Module = field(default_factory=nn.Identity)

    def __len__(self) -> int:
        return self.count

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        words = torch.from_numpy(rows % WORDS)
        return functional.mse_loss(network(words)[:, 0], value_of(words))

    def validation_loss(self, network: nn.Module) -> float:
        words = torch.arange(WORDS)
        with torch.no_grad():
            return functional.mse_loss(network(words)[:, 0], value_of(words)).item()


def value_of(words: Tensor) -> Tensor:
    return (words.float() + 1.0) / WORDS


def embedding() -> nn.Embedding:
    network = nn.Embedding(WORDS, 1, sparse=True)
    nn.init.zeros_(network.weight)
    return network


@dataclass
class Meeting(Words):
    """Neither process goes on to a second batch before the other has made its first update."""

    count: int = WORDS
    begun: Tensor = field(default_factory=lambda: torch.zeros(2).share_memory_())

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        me = int(in_a_worker())
        self.begun[me] += 1
        while self.begun[me] > 1 and not self.begun[1 - me]:
            time.sleep(0.001)
        return super().loss(network, rows)


@dataclass
class Planted(Words):
    """Fails in the other process only."""

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        if in_a_worker():
            raise ValueError("planted")
        return super().loss(network, rows)


@dataclass
class Killed(Words):
    """The other process is killed, as by a kernel that is out of memory."""

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        if in_a_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(network, rows)
