"""Files that are never half-written, and names for their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step: a reader sees the old file or the new one.

    The bytes go to a neighbour first and are synced before the rename, so a crash
    or a full disk leaves the old file as it was. The mode follows the umask.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(neighbour, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost with the power.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(data: bytes) -> str:
    """Name a content: 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
