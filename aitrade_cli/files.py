"""Files that are never half-written, and names for their content."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

NO_LINKS_HERE: Final = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def replace(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step: a reader sees the old file or the new one.

    The bytes go to a neighbour first and are synced before the rename, so a crash
    or a full disk leaves the old file as it was. The mode follows the umask. A link
    at ``path`` is replaced itself; the file that it names stays.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    with written_beside(path, data) as neighbour:
        os.replace(neighbour, path)
    sync_folder(path.parent)


def refresh(path: Path, data: bytes) -> None:
    """The same without waiting for the disk, for what is written again in a moment.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    with neighbour_of(path) as (neighbour, file):
        file.write(data)
        file.flush()
        os.replace(neighbour, path)


def create(path: Path, data: bytes) -> None:
    """The same where nothing lies yet: of two who do it at once, one is refused.

    Raises:
        FileExistsError: something is there already; it stays as it was.
        OSError: the folder cannot be written or the disk is full.
    """
    with written_beside(path, data) as neighbour:
        try:
            os.link(neighbour, path)
        except OSError as error:
            if error.errno not in NO_LINKS_HERE:
                raise
            # A file system without hard links: take the name, then rename over it.
            with open(path, "xb"):
                pass
            os.replace(neighbour, path)
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """`replace` in pieces: what the block writes stands at ``path`` once it ends without error.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    with neighbour_of(path) as (neighbour, file):
        yield file
        settle(file)
        os.replace(neighbour, path)
    sync_folder(path.parent)


@contextmanager
def written_beside(path: Path, data: bytes) -> Iterator[Path]:
    with neighbour_of(path) as (neighbour, file):
        file.write(data)
        settle(file)
        yield neighbour


@contextmanager
def neighbour_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    # A random name: containers give every process the same number, and a neighbour
    # left by a killed one must not stand in the way for ever.
    neighbour = path.with_name(f".aitrade-{secrets.token_hex(8)}.tmp")
    try:
        with open(neighbour, "xb") as file:
            yield neighbour, file
    finally:
        with suppress(OSError):  # the first failure is the one to tell
            neighbour.unlink(missing_ok=True)


def settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost with the power. Some folders cannot be
    # opened or synced; the file is in place all the same.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(data: bytes) -> str:
    """Name a content: 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
