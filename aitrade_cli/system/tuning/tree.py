"""The files of a host: the real one, or a folder of plain files that stands for one."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

from aitrade_cli.errors import BadInput
from aitrade_cli.files import sync_folder

KERNEL_FILE_SYSTEMS: Final = frozenset(("proc", "sysfs", "cgroup", "cgroup2", "devtmpfs"))
KERNEL_FOLDERS: Final = ("/proc/", "/sys/", "/dev/")
LINKS_FOLLOWED: Final = 40  # as many as Linux itself follows
NEW_FILE_MODE: Final = 0o644
NEIGHBOUR: Final = ".{}.aitrade-new"
CHOSEN: Final = re.compile(r"\[([^\]\s]+)\]")
# Writing one of these makes the kernel set its partner to 0; writing 0 is refused.
PARTNERS: Final = {
    f"/proc/sys/vm/{left}": f"/proc/sys/vm/{right}"
    for pair in (
        ("dirty_ratio", "dirty_bytes"),
        ("dirty_background_ratio", "dirty_background_bytes"),
    )
    for left, right in (pair, pair[::-1])
}


class NoSuchRoot(BadInput):
    """The folder that should stand for a host is not there."""


class Tree:
    """A host's files below a root. Names are absolute within it: ``/etc/os-release``.

    Links are followed inside the root only, as a program confined to it would see them.
    Values of the kernel below a real ``/proc`` or ``/sys`` are written in one write; on a tree
    of plain files what the kernel would show afterwards is put there instead.
    """

    def __init__(self, root: Path = Path("/"), kernel: Path | None = None) -> None:
        """Take ``root``; ``kernel`` is where ``/proc``, ``/sys`` and ``/dev`` are, if elsewhere.

        Raises:
            NoSuchRoot: ``root`` is no folder.
        """
        if not root.is_dir():
            raise NoSuchRoot(f"`{root}` is not a folder", hint="`--root` names the root of a host")
        self.root = root.resolve()
        self.kernel = self.root if kernel is None else kernel.resolve()

    @property
    def real(self) -> bool:
        """Whether this is the machine that we run on."""
        return self.root == Path("/")

    @property
    def real_kernel(self) -> bool:
        """Whether kernel values are those of the machine that we run on."""
        return self.kernel == Path("/")

    def locate(self, name: str) -> Path:
        """The path of a name, with every link on the way read as if the root were ``/``."""
        root = self.kernel if name.startswith(KERNEL_FOLDERS) else self.root
        if root == Path("/"):
            return Path(name)
        here, left, followed = root, [part for part in name.split("/") if part], 0
        while left:
            part = left.pop(0)
            if part == "..":
                here = here.parent if here != root else root
                continue
            here /= part
            if here.is_symlink() and left:
                followed += 1
                if followed > LINKS_FOLLOWED:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
                target = os.readlink(here)
                here = root if target.startswith("/") else here.parent
                left[:0] = [part for part in target.split("/") if part and part != "."]
        return self.last_link(root, here)

    def last_link(self, root: Path, path: Path) -> Path:
        """The file behind a link in the last place, where it lies below the root."""
        for _ in range(LINKS_FOLLOWED):
            if not path.is_symlink():
                return path
            target = os.readlink(path)
            joined = f"{root}{target}" if target.startswith("/") else str(path.parent / target)
            path = Path(os.path.normpath(joined))
            if not path.is_relative_to(root):
                return root / path.name
        return path

    def read(self, name: str) -> bytes | None:
        """The content, or `None` where there is none that may be read."""
        try:
            return self.locate(name).read_bytes()
        except OSError:
            return None

    def text(self, name: str) -> str | None:
        """The content as stripped text, or `None`."""
        data = self.read(name)
        return None if data is None else data.decode("utf-8", errors="replace").strip()

    def value(self, name: str) -> str | None:
        """A kernel value in its canonical form, or `None` where this kernel has none."""
        text = self.text(name)
        return None if text is None else canonical(text)

    def names(self, folder: str) -> Sequence[str]:
        """What lies in a folder, sorted; nothing where it is not there."""
        try:
            return sorted(os.listdir(self.locate(folder)))
        except OSError:
            return ()

    def exists(self, name: str) -> bool:
        return self.locate(name).exists()

    def mode(self, name: str) -> int | None:
        """Permission bits of a file, or `None` where there is none."""
        try:
            return stat.S_IMODE(self.locate(name).stat().st_mode)
        except OSError:
            return None

    @cached_property
    def mounts(self) -> Sequence[tuple[str, str]]:
        """Where each file system of this machine is mounted, and its kind; the longest first."""
        try:
            lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        except OSError:
            return ()
        pairs = [(line.split()[4], line.partition(" - ")[2].split()[0]) for line in lines]
        return sorted(pairs, key=lambda pair: -len(pair[0]))

    def in_kernel(self, name: str) -> bool:
        """Whether a name is a value of a running kernel rather than a file."""
        path = self.locate(name)
        for place, kind in self.mounts:
            if path.is_relative_to(place):
                return kind in KERNEL_FILE_SYSTEMS
        return False

    def why_not_writable(self, name: str, *, rewrite: bool = False) -> str | None:
        """Why a kernel value cannot be set, found out by trying; `None` where it can.

        It opens the file for writing, which is refused in a container without the right.
        With ``rewrite`` it also puts back the value that is there, which some drivers refuse.
        """
        path = self.locate(name)
        try:
            if not self.in_kernel(name):
                if not path.stat().st_mode & 0o222:
                    return os.strerror(errno.EROFS)
                return None
            descriptor = os.open(path, os.O_WRONLY)
            try:
                if rewrite:
                    os.write(descriptor, (self.value(name) or "").encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def set_value(self, name: str, value: str) -> None:
        """Give a kernel value; see the class for a tree of plain files.

        Raises:
            OSError: the kernel refuses the value, or it may not be set.
        """
        path = self.locate(name)
        if self.in_kernel(name):
            descriptor = os.open(path, os.O_WRONLY)
            try:
                os.write(descriptor, f"{value}\n".encode())
            finally:
                os.close(descriptor)
            return
        if reason := self.why_not_writable(name):
            raise PermissionError(errno.EROFS, reason, str(path))
        self.put(name, shown_after(path.read_text(encoding="utf-8"), value).encode())
        partner = PARTNERS.get(name)
        if partner and value != "0" and self.exists(partner):
            self.put(partner, b"0\n")

    def put(self, name: str, data: bytes, mode: int | None = None, via: str | None = None) -> None:
        """Put a file in its place in one step; an existing one keeps its mode.

        Args:
            name: the file.
            data: its new content.
            mode: permission bits; those of the file that is there, else 0644.
            via: name of the neighbour that is written first, so that one left behind by a
                kill can be found again.
        """
        path = self.locate(name)
        kept = self.mode(name) if mode is None else mode
        neighbour = path.with_name(via or NEIGHBOUR.format(path.name))
        try:
            with open(neighbour, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), NEW_FILE_MODE if kept is None else kept)
                os.fsync(file.fileno())
            os.replace(neighbour, path)
        finally:
            with suppress(OSError):
                neighbour.unlink(missing_ok=True)
        sync_folder(path.parent)

    def tidy(self, name: str) -> None:
        """Remove the neighbour that a killed `put` may have left."""
        if not self.in_kernel(name):
            path = self.locate(name)
            path.with_name(NEIGHBOUR.format(path.name)).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        path = self.locate(name)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def canonical(text: str) -> str:
    """One spelling of a kernel value: the token in brackets, else words with single blanks."""
    chosen = CHOSEN.search(text)
    return chosen[1] if chosen else " ".join(text.split())


def shown_after(before: str, value: str) -> str:
    """What the kernel would show after ``value`` was written over what it showed before.

    Raises:
        OSError: EINVAL, where the value is a choice and not among those offered.
    """
    if not CHOSEN.search(before):
        return f"{value}\n"
    offered = [word.strip("[]") for word in before.split()]
    if value not in offered:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), value)
    return " ".join(f"[{word}]" if word == value else word for word in offered) + "\n"
