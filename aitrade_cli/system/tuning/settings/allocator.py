"""Rows 4 to 9: where large tensors come from."""

from __future__ import annotations

from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Library, Purpose, Setting, Whole, Wish, Words

GLIBC: Final = "https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html"
HUGE_PAGES: Final = "https://docs.kernel.org/admin-guide/mm/transhuge.html"
TORCH_VARIABLES: Final = "https://docs.pytorch.org/docs/stable/threading_environment_variables.html"
THP: Final = "/sys/kernel/mm/transparent_hugepage"
MMAP_THRESHOLD_BYTES: Final = 1 << 30
TRIM_THRESHOLD_BYTES: Final = 2 << 30
NO_DECAY: Final = "dirty_decay_ms:-1,muzzy_decay_ms:-1"
JEMALLOC: Final = "https://jemalloc.net/jemalloc.3.html#opt.dirty_decay_ms"


def glibc_only(value: str, facts: Facts, purpose: Purpose) -> Wish:
    if facts.mapped and not facts.glibc:
        return Wish(None, "malloc is not glibc's here, so nothing reads it")
    if purpose != "train":
        return Wish(None, "batch 1 makes no large temporaries; memory would only be held")
    if facts.memory_usable_bytes < 4 * TRIM_THRESHOLD_BYTES:
        return Wish(None, "too little memory here to hold freed pages back")
    return Wish(value, "freed tensors are used again instead of being mapped and cleared anew")


def mmap_threshold(facts: Facts, purpose: Purpose, _: str) -> Wish:
    return glibc_only(str(MMAP_THRESHOLD_BYTES), facts, purpose)


def trim_threshold(facts: Facts, purpose: Purpose, _: str) -> Wish:
    return glibc_only(str(TRIM_THRESHOLD_BYTES), facts, purpose)


def torch_huge(facts: Facts, purpose: Purpose, _: str) -> Wish:
    enabled = facts.tree.value(f"{THP}/enabled")
    if enabled is None:
        return Wish(None, "this kernel has no transparent huge pages")
    if enabled == "never" and "sysfs" in facts.closed:
        return Wish(None, "huge pages are switched off, and not ours to switch on")
    if purpose != "train":
        return Wish(None, "batch 1 makes no large temporaries")
    return Wish("1", "one page fault for 2 MB instead of 512")


def preloaded(stem: str, facts: Facts) -> Wish:
    path = facts.library(stem)
    if path is None:
        return Wish(None, f"{stem} is not installed")
    return Wish(path, f"{path} in place of glibc's malloc, where a measurement asks for it")


def decay(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.library("libjemalloc") is None:
        return Wish(None, "libjemalloc is not installed")
    return Wish(NO_DECAY, "jemalloc returns freed pages at once otherwise, and gains nothing")


def enabled(facts: Facts, _: Purpose, __: str) -> Wish:
    found = facts.tree.value(f"{THP}/enabled")
    if found in {"never", "madvise"}:
        return Wish("madvise", "huge pages for programs that ask, no others")
    return Wish(None, f"{found} serves programs that ask for huge pages")


def defrag(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.tree.value(f"{THP}/defrag") in {"always", "madvise"}:
        return Wish("madvise", "`always` stalls any program that touches new memory")
    return Wish(None, "no program is stalled that did not ask")


def preload(row: int, name: str, stem: str, worth: str) -> Setting:
    return Setting(
        row,
        f"preload.{name}",
        f"{name} instead of glibc's malloc",
        "situational",
        "environment",
        "LD_PRELOAD",
        lambda facts, _, __: preloaded(stem, facts),
        "only when a measurement asks for it, and where the library is installed",
        worth,
        TORCH_VARIABLES,
        "every program that is started with it changes its allocator",
        Library((stem,)),
        (),
    )


SETTINGS: Final = (
    Setting(
        4,
        "env.MALLOC_MMAP_THRESHOLD_",
        "size from which malloc maps memory anew",
        "proven",
        "environment",
        "MALLOC_MMAP_THRESHOLD_",
        mmap_threshold,
        "1 GiB where malloc is glibc's and the host trains",
        "several times for temporaries beyond 32 MB, up to twice below; none for small models",
        GLIBC,
        "freed memory stays with the process",
        Whole(0, 1 << 40),
    ),
    Setting(
        4,
        "env.MALLOC_TRIM_THRESHOLD_",
        "free memory at which malloc gives it back",
        "proven",
        "environment",
        "MALLOC_TRIM_THRESHOLD_",
        trim_threshold,
        "2 GiB where malloc is glibc's and the host trains",
        "together with the threshold above",
        GLIBC,
        "freed memory stays with the process",
        Whole(0, 1 << 40),
    ),
    preload(
        5,
        "tcmalloc",
        "libtcmalloc_minimal",
        "as much as glibc's own thresholds, which need nothing",
    ),
    preload(6, "jemalloc", "libjemalloc", "about as tcmalloc with the next one; less without it"),
    Setting(
        6,
        "env.MALLOC_CONF",
        "how soon jemalloc gives freed memory back",
        "situational",
        "environment",
        "MALLOC_CONF",
        decay,
        "never, together with jemalloc and only when a measurement asks for both",
        "most of what jemalloc gains; nothing without it",
        JEMALLOC,
        "freed memory stays with the process",
        Words((NO_DECAY,)),
        (),
    ),
    Setting(
        7,
        "thp.enabled",
        "huge pages for programs that ask for them",
        "situational",
        "sysfs",
        f"{THP}/enabled",
        enabled,
        "madvise where it is never; madvise and always are left",
        "needed by the next one",
        HUGE_PAGES,
        "memory, and stalls together with defrag = always",
        Words(("always", "madvise", "never")),
        ("train",),
    ),
    Setting(
        8,
        "env.THP_MEM_ALLOC_ENABLE",
        "torch asks for huge pages",
        "proven",
        "environment",
        "THP_MEM_ALLOC_ENABLE",
        torch_huge,
        "1 where the kernel has huge pages and the host trains",
        "two to three times for large tensors, more with the thresholds above",
        TORCH_VARIABLES,
        "memory is taken in pieces of 2 MB",
        Words(("0", "1")),
    ),
    Setting(
        9,
        "thp.defrag",
        "who waits while huge pages are made",
        "hygiene",
        "sysfs",
        f"{THP}/defrag",
        defrag,
        "madvise where it is always",
        "avoids stalls; no throughput",
        HUGE_PAGES,
        "none",
        Words(("always", "defer", "defer+madvise", "madvise", "never")),
    ),
)
