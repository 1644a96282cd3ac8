"""Copy, compare and ask ahead inside compiled loops, by address.

An address is a plain number, so one compiled loop serves every schema. Nothing here knows
whether the memory is there: whoever calls such a loop keeps hold of the arrays meanwhile.
"""

# numba hands the parts of an instruction untyped, and calls them by position
# ruff: noqa: ANN401, ARG001

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from aitrade_cli.system.compiled import kernel

CACHE_LINE: Final = 64  # bytes
PLACE: Final = cgutils.voidptr_t
NUMBER: Final = ir.IntType(32)
EVERYWHERE: Final = 3  # of llvm.prefetch: in every cache
OF_DATA: Final = 1  # of llvm.prefetch: not of code


def address_of(array: np.ndarray) -> int:
    """Where an array begins. It must outlive what is done with the answer."""
    return array.ctypes.data


def copying(typing: Any, to: Any, source: Any, count: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        to, source = (builder.inttoptr(address, PLACE) for address in given[:2])
        cgutils.raw_memcpy(builder, to, source, given[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), build


def comparing(typing: Any, one: Any, other: Any, count: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(NUMBER, (PLACE, PLACE, ir.IntType(64)))
        function = cgutils.get_or_insert_function(builder.module, kind, "memcmp")
        ends = [builder.inttoptr(address, PLACE) for address in given[:2]]
        return builder.icmp_signed("!=", builder.call(function, [*ends, given[2]]), NUMBER(0))

    return types.boolean(types.intp, types.intp, types.intp), build


def reading(typing: Any, address: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(builder.inttoptr(given[0], ir.IntType(8).as_pointer()), align=1)

    return types.uint8(types.intp), build


def asking(typing: Any, address: Any, to_write: Any) -> Any:
    written = int(to_write.literal_value)

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), (PLACE, NUMBER, NUMBER, NUMBER))
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        how = [NUMBER(number) for number in (written, EVERYWHERE, OF_DATA)]
        builder.call(function, [builder.inttoptr(given[0], PLACE), *how])
        return context.get_dummy_value()

    return types.void(types.intp, to_write), build


memcpy: Any = intrinsic(copying)
memcmp: Any = intrinsic(comparing)
load: Any = intrinsic(reading)
prefetch: Any = intrinsic(prefer_literal=True)(asking)


@kernel
def copy_bytes(to: int, source: int, count: int) -> None:
    """``count`` bytes from one address to another; the two do not overlap."""
    memcpy(to, source, count)


@kernel
def unlike(one: int, other: int, count: int) -> bool:
    """Whether ``count`` bytes differ between two addresses."""
    return memcmp(one, other, count)


@kernel
def byte_at(address: int) -> int:
    return load(address)


@kernel
def will_read(address: int) -> None:
    """Ask for the cache line at an address; nothing happens where there is no memory."""
    prefetch(address, 0)


@kernel
def will_write(address: int) -> None:
    """The same for a line that is to be written."""
    prefetch(address, 1)
