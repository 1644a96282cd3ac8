"""Loops that NumPy cannot run at the speed of memory, compiled on first use and kept on disk."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function of plain arrays and numbers; it runs without Python's lock.

    Callers check what they hand in: inside there is no bounds check.
    """
    # Under shape checking the function arrives wrapped, and numba needs its own source.
    plain = inspect.unwrap(function)
    try:
        return cast(F, njit(cache=True, nogil=True)(plain))
    except RuntimeError:  # no folder takes the compiled code: compile in each process
        return cast(F, njit(nogil=True)(plain))
