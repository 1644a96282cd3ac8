"""Draws from a store on disk whose pages are in memory, beside our own memory and a memmap."""

# The peers are an extra, which a checker need not have.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aitrade_cli.replay.bench.data import Contender, Experience, transitions
from aitrade_cli.replay.bench.peers import schema_of, version_of
from aitrade_cli.replay.bench.torch_peers import hushed, tensors_of
from aitrade_cli.replay.store import ReplayStore

DISK: Final = "draw uniformly, disk"
IN_MEMORY: Final = "aitrade in memory"


@contextmanager
def on_disk(data: Experience, against: tuple[str, ...]) -> Iterator[list[Contender]]:
    """Stores of the same rows on disk and in memory, as long as the block lasts.

    The folder is a temporary one: TMPDIR says where.
    """
    with TemporaryDirectory(prefix="aitrade-bench-") as folder:
        schema = schema_of(data)
        with (
            ReplayStore(Path(folder, "store"), data.rows, schema=schema) as kept,
            ReplayStore(schema, data.rows) as held,
        ):
            for store in (kept, held):
                for count in data.parts():
                    store.add_batch(**transitions(data, count))
            kept.commit()
            if hasattr(os, "sync"):
                os.sync()  # or the disk is still busy with it while the draws are timed
            made = [
                Contender("aitrade", {DISK: lambda: lambda: kept.sample(data.batch)}),
                Contender(IN_MEMORY, {DISK: lambda: lambda: held.sample(data.batch)}),
            ]
            if "torchrl" in against and version_of("torchrl"):
                made.append(memmap(data, folder))
            yield made


def memmap(data: Experience, folder: str) -> Contender:
    """Torchrl's storage of memory-mapped tensors."""
    with hushed():
        from torchrl.data import LazyMemmapStorage, ReplayBuffer

        storage = LazyMemmapStorage(data.rows, scratch_dir=str(Path(folder, "torchrl")))
        buffer = ReplayBuffer(storage=storage, batch_size=data.batch)
        for count in data.parts():
            buffer.extend(tensors_of(data, count))
    return Contender("torchrl", {DISK: lambda: buffer.sample})
