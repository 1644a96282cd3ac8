"""Which instructions a library compiled here may use, and which of them a processor lacks."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Final

from aitrade_cli.system.host import read_cpu

# What a compiler may choose on x86 and arm64. The kernel's list also names caches, power
# states and mitigations, which say nothing about what a program can execute.
CHOSEN_BY_COMPILERS: Final = re.compile(
    r"(?:s?sse\w*|pni|avx\w*|amx\w*|fma\w*|f16c|bmi\d|abm|popcnt|movbe|adx|aes|vaes|v?pclmul\w*"
    r"|sha\w*|gfni|rdseed|rdrand|movdir\w*|clwb|clflushopt|cldemote|serialize|xsave\w*"
    r"|fp\w*|asimd\w*|sve\w*|sme\w*|i8mm|bf16|atomics|crc32|lrcpc|dcpop|fcma|jscvt|flagm\w*)"
)


def instructions_here() -> tuple[str, ...]:
    """Machine and instruction sets, in a fixed order: what a library built here may need."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return (platform.machine(), *read_cpu()[1])
    return (platform.machine(), *of_cpuinfo(text))


def of_cpuinfo(text: str) -> tuple[str, ...]:
    """The instruction sets of the first processor in a ``/proc/cpuinfo``, sorted."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    words = found[1].split() if found else []
    return tuple(sorted({word for word in words if CHOSEN_BY_COMPILERS.fullmatch(word)}))


def lacking(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``wanted`` that this machine does not have. Nothing wanted is nothing known."""
    here = set(instructions_here())
    return tuple(one for one in wanted if one not in here) if wanted else ("unknown instructions",)
