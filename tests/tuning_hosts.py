"""Hosts to tune that are nobody's: trees of plain files, and a kernel with its tempers."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aitrade_cli.system.tuning.tree import Tree, canonical
from tests.shell import ROOT

DEBIAN: Final = ROOT / "fixtures" / "hosts" / "debian"
JOURNALS: Final = "var/lib/aitrade"
CONTAINER: Final = {
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 100\nnr_periods 200\nnr_throttled 150\n",
    "sys/fs/cgroup/memory.max": "2147483648\n",
    "sys/fs/cgroup/cpuset.cpus.effective": "0-1\n",
}
NUMA: Final = {
    "sys/devices/system/node/node0/cpulist": "0-3\n",
    "sys/devices/system/node/node1/cpulist": "4-7\n",
    "proc/sys/kernel/numa_balancing": "1\n",
    "proc/driver/nvidia/gpus/0000:3b:00.0/information": "Model: \t\t NVIDIA A100\nIRQ: 1\n",
    "sys/bus/pci/devices/0000:3b:00.0/numa_node": "1\n",
}


def debian(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """A copy of the bare-metal fixture host, with other files where they are given."""
    shutil.copytree(DEBIAN, folder, symlinks=True)
    for name, text in (changes or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def closed(folder: Path) -> Path:
    """The container's host: its kernel values may be read and not written."""
    debian(folder, CONTAINER)
    for place in (folder / "proc" / "sys", folder / "sys"):
        for path in place.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[str, int, bytes]]:
    """Every file, link and folder with its mode and content, the journals left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(JOURNALS) or JOURNALS.startswith(f"{name}/") or name == JOURNALS:
            continue
        mode = path.lstat().st_mode
        if path.is_symlink():
            found[name] = ("link", 0, os.readlink(path).encode())
        elif path.is_dir():
            found[name] = ("folder", 0, b"")
        else:
            found[name] = ("file", stat.S_IMODE(mode), path.read_bytes())
    return found


class MoodyKernel(Tree):
    """A tree that answers writes as a running kernel does.

    It refuses 0 for one of a coupled pair, sets the partner to 0, clamps, spells numbers with
    tabs, shows choices in brackets, and refuses what ``denied`` names.
    """

    clamped: Mapping[str, int] = {"/proc/sys/net/core/somaxconn": 65535}
    denied: frozenset[str] = frozenset()

    def in_kernel(self, name: str) -> bool:
        return name.startswith(("/proc/", "/sys/"))

    def why_not_writable(self, name: str, *, rewrite: bool = False) -> str | None:
        del rewrite
        return None if self.exists(name) else os.strerror(errno.ENOENT)

    def set_value(self, name: str, value: str) -> None:
        if name in self.denied:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        path = self.locate(name)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        coupled = {
            "dirty_ratio": "dirty_bytes",
            "dirty_bytes": "dirty_ratio",
            "dirty_background_ratio": "dirty_background_bytes",
            "dirty_background_bytes": "dirty_background_ratio",
        }.get(path.name)
        if coupled:
            if path.name.endswith("bytes") and value == "0":
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
            self.show(path.with_name(coupled), "0\n")
        before = path.read_text()
        if "[" in before:
            offered = [word.strip("[]") for word in before.split()]
            if value not in offered:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
            self.show(path, " ".join(f"[{w}]" if w == value else w for w in offered) + "\n")
            return
        if name in self.clamped:
            value = str(min(int(value), self.clamped[name]))
        self.show(path, "\t".join(value.split()) + "\n")

    def show(self, path: Path, text: str) -> None:
        """In one step, as a kernel's value changes whatever kills the writer."""
        aside = self.root.parent / f"{self.root.name}.aside"
        aside.write_text(text)
        os.replace(aside, path)

    def meaning(self) -> dict[str, str]:
        """Every value that settings may touch, as the kernel would say it."""
        values = [*self.kernel.glob("proc/sys/**/*"), *self.kernel.glob("sys/**/*")]
        files = [path for path in values if path.is_file()]
        return {str(path): canonical(path.read_text(errors="replace")) for path in files}
