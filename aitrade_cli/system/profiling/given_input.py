"""What a program reads on stdin, where it runs more than once."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios
from contextlib import suppress


def offset_of_input() -> int | None:
    """Where our stdin stands; None where it is no file that can be read again."""
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(0).st_mode):
            return os.lseek(0, 0, os.SEEK_CUR)
    return None


def input_is_piped() -> bool:
    """Whether something waits on stdin that can be read once only."""
    with suppress(OSError):
        mode, held = os.fstat(0).st_mode, bytearray(4)
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            fcntl.ioctl(0, termios.FIONREAD, held)
            return int.from_bytes(held, sys.byteorder) > 0
    return False
