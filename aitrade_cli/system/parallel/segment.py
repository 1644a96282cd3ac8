"""Arrays in one piece of memory that several processes see."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from aitrade_cli.units import bytes_text

ALIGNED: Final = 64  # a cache line, so that two workers never write to the same one
SHARED_FOLDER: Final = Path("/dev/shm")  # where Linux keeps the segments
Arrays: TypeAlias = Mapping[str, np.ndarray]


class TooLittleSharedMemory(OSError):
    """The arrays do not fit into what this host, or its container, lets processes share."""


class Blank(NamedTuple):
    """An array to be filled by the workers; zeros before."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where one array lies."""

    start: int
    shape: tuple[int, ...]
    dtype: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """What a worker needs to find the arrays."""

    segment: str | None  # None where there are no arrays
    places: Mapping[str, Place]


def placed(arrays: Arrays, blanks: Mapping[str, Blank]) -> tuple[dict[str, Place], int]:
    """A place for each array, and the bytes of all."""
    places: dict[str, Place] = {}
    at = 0
    sources = {name: Blank(array.shape, array.dtype.str) for name, array in arrays.items()}
    for name, spec in {**sources, **blanks}.items():
        places[name] = Place(at, spec.shape, spec.dtype, name in blanks)
        size = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
        at += -(-size // ALIGNED) * ALIGNED
    return places, at


def views(memory: SharedMemory, places: Mapping[str, Place]) -> dict[str, np.ndarray]:
    """The arrays themselves; inputs are read-only."""
    found: dict[str, np.ndarray] = {}
    for name, place in places.items():
        view: np.ndarray = np.ndarray(
            place.shape, np.dtype(place.dtype), buffer=memory.buf, offset=place.start
        )
        view.flags.writeable = place.writable
        found[name] = view
    return found


@contextmanager
def shared(arrays: Arrays, blanks: Mapping[str, Blank]) -> Iterator[tuple[Layout, SharedMemory]]:
    """Copy arrays into a segment of their own, which is gone afterwards however this ends.

    Where the process is killed, multiprocessing's tracker removes the segment.

    Raises:
        TooLittleSharedMemory: there is too little of it.
    """
    places, size = placed(arrays, blanks)
    try:
        memory = SharedMemory(create=True, size=max(size, 1))
    except OSError as error:
        raise too_little(size, error) from error
    try:
        try:
            reserve(memory, size)
        except OSError as error:
            raise too_little(size, error) from error
        fill(memory, places, arrays)
        yield Layout(memory.name, places), memory
    finally:
        memory.unlink()
        with suppress(BufferError):  # a failed caller's traceback may still hold a view
            memory.close()


def reserve(memory: SharedMemory, size: int) -> None:
    """Take all pages now: a new segment has none, and one that is missing later kills with SIGBUS.

    Raises:
        OSError: there are not so many.
    """
    file = SHARED_FOLDER / memory.name
    if size and hasattr(os, "posix_fallocate") and file.exists():
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)


def too_little(size: int, error: OSError) -> TooLittleSharedMemory:
    return TooLittleSharedMemory(
        f"{bytes_text(size)} of shared memory are not to be had: {error.strerror}"
    )


def fill(memory: SharedMemory, places: Mapping[str, Place], arrays: Arrays) -> None:
    # In a function, so that no view is left when the segment closes.
    for name, source in arrays.items():
        place = places[name]
        target: np.ndarray = np.ndarray(
            place.shape, np.dtype(place.dtype), buffer=memory.buf, offset=place.start
        )
        target[...] = source


def taken_out(memory: SharedMemory, layout: Layout) -> dict[str, np.ndarray]:
    """Copies of what the workers filled."""
    found = views(memory, layout.places)
    return {name: found[name].copy() for name, place in layout.places.items() if place.writable}
