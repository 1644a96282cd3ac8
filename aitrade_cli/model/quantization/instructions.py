"""Whether this processor multiplies bytes without losing carries."""

from __future__ import annotations

from aitrade_cli.model.quantization.integers import INT8_TOP, REDUCED_TOP
from aitrade_cli.system.host import read_cpu

EXACT = frozenset(("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"))


def saturates() -> bool:
    """The INT8 kernels here add two byte products in 16 bits, where they can overflow.

    True on x86 without VNNI: `vpmaddubsw` saturates, silently. Weights of 7 bits cannot.
    """
    return not EXACT.intersection(read_cpu()[1])


def weight_top(reduce_range: bool | None = None) -> int:
    """The largest weight level: 127, or 63 where products saturate.

    Args:
        reduce_range: None asks the processor.
    """
    reduced = saturates() if reduce_range is None else reduce_range
    return REDUCED_TOP if reduced else INT8_TOP
