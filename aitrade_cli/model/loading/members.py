"""Reading a zip that may lie: every size, name and offset is checked before use.

Python's zipfile and torch's reader disagree about malformed archives, and a hostile
file lives in the difference. So nothing malformed passes here, and what is handed on
to torch is packed again from the members that were read here.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.model.loading.limits import Limits, TooLarge

LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
ENCRYPTED: Final = 0x1
END: Final = b"PK\x05\x06"
END_SEARCHED: Final = 22 + (1 << 16)  # the end record and the longest comment after it
LOCATOR: Final = b"PK\x06\x07"  # of zip64, which has the sizes then
LOCATOR_SIZE: Final = 20
END64_SIZE: Final = 56
NAME_MAX: Final = 4096


class Truncated(BadInput):
    """The archive ends early or its directory does not fit its content."""

    default_hint = "copy or download the file again, and compare its size and sha256"


class ZipBomb(Refused):
    """A small file that unpacks to a huge one."""

    default_hint = "torch stores weights uncompressed; save the model again with `torch.save`"


class ClimbingPath(Refused):
    """A path inside the file leads out of the folder it belongs to."""

    default_hint = "no program that writes models makes such a path; do not use this file"


class TwoOfOne(Refused):
    """Two entries of one name or place: one reader would see one, the next the other."""

    default_hint = ClimbingPath.default_hint


@dataclass(frozen=True, slots=True)
class Members(Mapping[str, bytes]):
    """The files of an archive below its one root folder.

    Attributes:
        root: the folder every entry lies in, ``archive`` for torch.
        files: content by path, the root taken off.
    """

    root: str
    files: dict[str, bytes]

    def __getitem__(self, name: str) -> bytes:
        return self.files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def read_members(data: bytes, limits: Limits) -> Members:
    """Unpack an archive into memory.

    Raises:
        Truncated: the end, a header, a size or a checksum is wrong.
        ZipBomb: a member unpacks to more than ``limits.ratio`` times its size.
        TooLarge: the members together pass ``limits.file_bytes``, or are too many.
        ClimbingPath: a name is absolute, empty, or goes up.
        TwoOfOne: two entries share a name or overlap.
    """
    check_directory(data, limits)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            check_entries(entries, data, limits)
            files = {entry.filename: read(archive, entry) for entry in entries}
    # NotImplementedError and RuntimeError: a compression or encryption we do not speak.
    except (zipfile.BadZipFile, EOFError, zlib.error, struct.error, ValueError) as error:
        raise Truncated(f"the archive is damaged: {plain_words(error)}") from error
    except (NotImplementedError, RuntimeError, OverflowError, OSError) as error:
        raise Truncated(f"the archive cannot be read: {plain_words(error)}") from error
    return below_root(files)


def check_directory(data: bytes, limits: Limits) -> None:
    # zipfile builds an object for each entry before anybody can look at their number.
    tail = max(0, len(data) - END_SEARCHED)
    at = data.rfind(END, tail)
    while at >= 0:
        size = int.from_bytes(data[at + 12 : at + 16], "little")
        if data[at - LOCATOR_SIZE : at - LOCATOR_SIZE + 4] == LOCATOR:
            record = at - LOCATOR_SIZE - END64_SIZE
            size = int.from_bytes(data[record + 40 : record + 48], "little")
        if size > limits.directory_bytes:
            raise TooLarge(f"the archive has a table of contents of {size} bytes")
        at = data.rfind(END, tail, at)


def check_entries(entries: list[zipfile.ZipInfo], data: bytes, limits: Limits) -> None:
    if not entries:
        raise Truncated("the archive holds no file")
    if len(entries) > limits.members:
        raise TooLarge(f"the archive holds {len(entries)} files, more than {limits.members}")
    unpacked = 0
    for entry in entries:
        check_name(entry)
        unpacked += entry.file_size
        if entry.file_size > limits.ratio * max(entry.compress_size, 64):
            raise ZipBomb(
                f"`{entry.filename}` of {entry.compress_size} bytes unpacks to {entry.file_size}"
            )
        if entry.flag_bits & ENCRYPTED:
            raise Truncated(f"`{entry.filename}` is encrypted")
    if unpacked > limits.file_bytes:
        raise TooLarge(f"the archive unpacks to {unpacked} bytes, more than {limits.file_bytes}")
    if unpacked > limits.slack_bytes + limits.growth * len(data):
        raise ZipBomb(f"the archive of {len(data)} bytes unpacks to {unpacked}")
    check_places(entries, data)


def check_name(entry: zipfile.ZipInfo) -> None:
    # orig_filename: zipfile cuts at a NUL, torch does not.
    name = entry.orig_filename
    parts = name.split("/")
    climbs = name.startswith("/") or ".." in parts or "" in parts[:-1] or ":" in parts[0]
    if climbs or "\\" in name or "\0" in name or not name.isprintable():
        raise ClimbingPath(f"an entry is called `{name[:80]}`")
    if len(name) > NAME_MAX:
        raise Truncated(f"an entry has a name of {len(name)} letters")


def check_places(entries: list[zipfile.ZipInfo], data: bytes) -> None:
    names: set[str] = set()
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.filename.casefold() in names:
            raise TwoOfOne(f"the archive holds `{entry.filename}` twice")
        names.add(entry.filename.casefold())
        if entry.header_offset < end:
            raise TwoOfOne(f"`{entry.filename}` overlaps the entry before it")
        end = data_start(entry, data) + entry.compress_size
        if end > len(data):
            raise Truncated(f"`{entry.filename}` ends past the end of the file")


def data_start(entry: zipfile.ZipInfo, data: bytes) -> int:
    """Where the content begins; the local header must tell the same story as the directory."""
    at = entry.header_offset
    if at < 0 or at + LOCAL_HEADER.size > len(data):
        raise Truncated(f"`{entry.filename}` lies outside the file")
    magic, _, _, method, *_, name_size, extra_size = LOCAL_HEADER.unpack_from(data, at)
    at += LOCAL_HEADER.size
    name = data[at : at + name_size]
    same = name in (
        entry.orig_filename.encode("utf-8"),
        entry.orig_filename.encode("cp437", "replace"),
    )
    if magic != b"PK\x03\x04" or method != entry.compress_type or not same:
        raise Truncated(f"`{entry.filename}` is described in two ways")
    return at + name_size + extra_size


def read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # One byte more than promised: zipfile checks the sum only when it reads to the end.
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise Truncated(f"`{entry.filename}` holds {len(content)} bytes, not {entry.file_size}")
    return content


def below_root(files: dict[str, bytes]) -> Members:
    # A folder's own entry carries nothing and torch writes none.
    kept = {name: content for name, content in files.items() if not name.endswith("/")}
    roots = {name.split("/")[0] for name in kept}
    if len(roots) == 1 and all("/" in name for name in kept):
        root = roots.pop()
        return Members(root, {name[len(root) + 1 :]: kept[name] for name in kept})
    return Members("", kept)


def plain_words(error: Exception) -> str:
    """The first line of a library's message, short enough for one of ours."""
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else type(error).__name__
