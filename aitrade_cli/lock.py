"""One writer of a folder at a time. The lock goes with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar, Final

from aitrade_cli.errors import Refused

NAME: Final = "lock"


class InUse(Refused):
    """Another process holds the folder."""

    default_hint = "wait for it, or name another folder"


class Lock:
    """Held from its making until ``release``.

    Attributes:
        refusal: what is raised where somebody else holds it.

    Raises:
        InUse: or what stands in ``refusal``.
    """

    refusal: ClassVar[type[InUse]] = InUse
    descriptor: int = -1

    def __init__(self, folder: Path) -> None:
        self.descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self.descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self.descriptor)
            self.descriptor = -1
            said = f" by process {holder}" if holder.isdigit() else ""
            raise self.refusal(f"`{folder}` is being written{said}") from None
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)

    def __del__(self) -> None:
        # what could not be closed and was forgotten holds nobody up
        self.release()

    def release(self) -> None:
        """Let others in. Safe to call twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
