"""Memory hygiene: rubbish collected between passes and not in the middle of a step."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any

import psutil
import torch

from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.run import Run
from aitrade_cli.training.state import Epoch


class Hygiene(Callback):
    """Keeps Python's collector out of the steps, and gives memory back after each pass.

    What is there when the run starts is frozen: it will not be garbage, and looking through it
    again and again is what a collection takes its time for. Tensors are freed by reference
    counts, at once; the collector is only needed for cycles. After each pass they are collected,
    and what the allocator no longer needs goes back to the system.

    Attributes:
        rss_bytes: resident memory after each pass, once it was cleaned up.
    """

    name = ""  # nothing of it decides how a run goes on

    def __init__(self) -> None:
        self.rss_bytes: list[int] = []
        self._was_on = self._froze = False

    def on_start(self, run: Run) -> None:
        del run
        self._was_on = gc.isenabled()
        gc.collect()
        if not gc.get_freeze_count():  # somebody else's frozen objects are not ours to thaw
            gc.freeze()
            self._froze = True
        gc.disable()

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        del epoch
        gc.collect()
        if run.cuda:
            torch.cuda.empty_cache()  # validation batches are larger than those of a step
        give_back()
        self.rss_bytes.append(psutil.Process().memory_info().rss)

    def on_end(self, run: Run) -> None:
        del run
        if self._froze:
            gc.unfreeze()
        if self._was_on:
            gc.enable()


def give_back() -> None:
    """Let glibc return free pages to the system; other allocators do so by themselves."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        trim: Any = ctypes.CDLL("libc.so.6").malloc_trim
        trim(0)
