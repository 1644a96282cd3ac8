"""Rows 33 to 36: disks, and what one process may open, lock and dump."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Purpose, Setting, Whole, Wish, Words
from aitrade_cli.units import bytes_text

BLOCK: Final = "/sys/block"
NOT_DISKS: Final = ("loop", "zram", "ram", "dm-", "md", "sr", "fd", "nbd")
SCHEDULERS: Final = ("none", "mq-deadline", "kyber", "bfq")
NO_QUEUE_OF_THEIR_OWN: Final = ("nvme", "vd", "xvd")
LEAST_READ_AHEAD_KB: Final = 1024
READ_AHEAD_KB: Final = 4096
LEAST_OPEN_FILES: Final = 1_024
OPEN_FILES: Final = 65_536


def disks(facts: Facts) -> Sequence[str]:
    names = facts.tree.names(BLOCK)
    found = [name for name in names if not name.startswith(NOT_DISKS)]
    return [name for name in found if facts.tree.exists(f"{BLOCK}/{name}/queue")]


def scheduler(_: Facts, __: Purpose, target: str) -> Wish:
    if target.startswith(NO_QUEUE_OF_THEIR_OWN):
        return Wish("none", "the device sorts its requests itself")
    return Wish(None, "a scheduler helps a disk with moving heads")


def read_ahead(facts: Facts, _: Purpose, target: str) -> Wish:
    text = facts.tree.value(f"{BLOCK}/{target}/queue/read_ahead_kb") or ""
    if text.isdigit() and LEAST_READ_AHEAD_KB <= int(text) != READ_AHEAD_KB:
        return Wish(None, f"{text} kB are enough for sequential files")
    return Wish(str(READ_AHEAD_KB), "bars are read from the first row to the last")


def open_files(facts: Facts, _: Purpose, __: str) -> Wish:
    soft, hard = facts.limits.get("nofile", (-1, -1))
    if soft == -1 or soft >= OPEN_FILES:
        return Wish(None, "enough files may be open")
    if hard not in {-1, 0} and hard < OPEN_FILES:
        if soft >= hard or hard < LEAST_OPEN_FILES:
            return Wish(
                None,
                f"the hard limit is {hard:,}",
                f"raise the limit where this process is started: LimitNOFILE={OPEN_FILES}",
            )
        return Wish(str(hard), f"as far as the hard limit of {hard:,}")
    return Wish(str(OPEN_FILES), "loader processes share tensors through open files")


def locked(facts: Facts, _: Purpose, __: str) -> Wish:
    soft, _hard = facts.limits.get("memlock", (-1, -1))
    if soft == -1:
        return Wish(None, "no limit on locked memory")
    if not facts.gpus:
        return Wish(None, f"{bytes_text(soft)}; only RDMA and pinned buffers of GPUs need more")
    return Wish(None, f"{bytes_text(soft)}", "LimitMEMLOCK=infinity in the unit, for RDMA")


def soft(name: str, facts: Facts) -> str | None:
    found = facts.limits.get(name)
    return None if found is None else "unlimited" if found[0] == -1 else str(found[0])


SETTINGS: Final = (
    Setting(
        33,
        "disk.scheduler",
        "order in which a disk serves requests",
        "cargo cult",
        "queue",
        f"{BLOCK}/{{}}/queue/scheduler",
        scheduler,
        "none for NVMe and virtual disks, else left; reported only",
        "none after the first pass: bars sit in the page cache",
        "https://docs.kernel.org/block/switching-sched.html",
        "other programs on the disk",
        Words(SCHEDULERS),
        targets=disks,
    ),
    Setting(
        34,
        "disk.read_ahead_kb",
        "how far ahead a file is read",
        "situational",
        "queue",
        f"{BLOCK}/{{}}/queue/read_ahead_kb",
        read_ahead,
        "4,096 kB where it is below 1,024",
        "first pass over large files; none from the page cache",
        "https://docs.kernel.org/admin-guide/abi-stable.html",
        "random reads fetch more than they use",
        Whole(0, 16_384),
        ("train",),
        disks,
    ),
    Setting(
        35,
        "limit.nofile",
        "files that one process may open",
        "hygiene",
        "limit",
        "nofile",
        open_files,
        "65,536, as far as the hard limit allows",
        "avoids `too many open files` in loaders",
        "https://man7.org/linux/man-pages/man5/limits.conf.5.html",
        "none",
        Whole(LEAST_OPEN_FILES, 1_048_576),
        look=lambda facts, _: soft("nofile", facts),
        speed=False,
    ),
    Setting(
        36,
        "limit.memlock",
        "memory that one process may lock",
        "hygiene",
        "advice",
        "memlock",
        locked,
        "reported; raised in the unit where RDMA needs it",
        "avoids a failed registration",
        "https://man7.org/linux/man-pages/man2/getrlimit.2.html",
        "none",
        look=lambda facts, _: soft("memlock", facts),
    ),
)
