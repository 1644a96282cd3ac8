"""The loop that reads many records with no word from Python in between.

The C library is called by name, so that the whole batch is read without Python's lock: a
learner that hardly ever lets go of it would otherwise be waited for once a record.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from numba import types

from aitrade_cli.system.compiled import kernel

ADVISE: Final = hasattr(os, "posix_fadvise")
WILL_NEED: Final = getattr(os, "POSIX_FADV_WILLNEED", 0)
WHOLE: Final = -1

pread: Any = types.ExternalFunction(
    "pread", types.intp(types.int32, types.intp, types.intp, types.int64)
)
advise: Any = types.ExternalFunction(
    "posix_fadvise", types.int32(types.int32, types.int64, types.int64, types.int32)
)


@kernel
def ask_for_records(descriptors: np.ndarray, offsets: np.ndarray, length: int) -> None:
    """Tell the kernel which pages are wanted soon; the disk works on all of them together."""
    for q in range(len(offsets)):
        advise(descriptors[q], offsets[q], length, WILL_NEED)


@kernel
def read_records(
    descriptors: np.ndarray, offsets: np.ndarray, places: np.ndarray, out: np.ndarray
) -> int:
    """Read a record of each file offset into row ``places[q]`` of ``out``.

    Returns -1, or the first q whose record could not be read whole.
    """
    length, base = out.shape[1], out.ctypes.data
    for q in range(len(offsets)):
        at = base + places[q] * length
        if pread(descriptors[q], at, length, offsets[q]) != length:
            return q
    return WHOLE
