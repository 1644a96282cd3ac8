"""Zip archives as torch writes them: stored, aligned, without a clock. Torch-free."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Final

ALIGNMENT: Final = 64  # torch maps members at this boundary
HEADER: Final = 30  # fixed part of a zip local header
EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def pack(members: Mapping[str, bytes]) -> bytes:
    """A zip of ``members`` in their order. The same members give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0
            info.extra = padding(buffer.tell() + HEADER + len(name.encode()))
            archive.writestr(info, content)
    return buffer.getvalue()


def padding(position: int) -> bytes:
    # An extra field that readers skip ("FB", as torch marks it), so that data is aligned.
    size = -(position + 4) % ALIGNMENT
    return b"FB" + size.to_bytes(2, "little") + b"Z" * size
