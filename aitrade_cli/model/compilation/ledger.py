"""Which native packages this user compiled on this host, by sha256."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from pathlib import Path
from typing import Final

from aitrade_cli import files
from aitrade_cli.errors import Refused

SHA256: Final = re.compile(r"[0-9a-f]{64}")
KEPT: Final = 1000  # the newest; a host that compiles more recompiles the oldest
LEDGER_MAX: Final = 1 << 20
OTHERS_MAY_WRITE: Final = 0o022


class OpenLedger(Refused):
    """Somebody else could have written into the record."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"`{path}` can be written by others, so what it vouches for counts for nothing",
            hint=f"look who wrote it, then `rm {path}` and compile again",
        )


def ledger_path() -> Path:
    """``native.json`` in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME", "")
    root = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return root / "aitrade" / "native.json"


def remember(sha256: str) -> None:
    """Add a package that was compiled here. Readable and writable by this user alone.

    Raises:
        OSError: the folder cannot be written.
        OpenLedger: others may write into the record that is there.
    """
    path = ledger_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = os.umask(0o077)
    try:
        with open(path.with_suffix(".lock"), "w") as lock:  # two at once would lose one record
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = [one for one in recorded() if one != sha256][-KEPT + 1 :]
            files.replace(path, json.dumps([*known, sha256], indent=0).encode())
    finally:
        os.umask(before)


def is_recorded(sha256: str) -> bool:
    """True where this host's `compile` wrote a file of this sha256.

    Raises:
        OpenLedger: others may write into the record.
    """
    return sha256 in recorded()


def recorded() -> tuple[str, ...]:
    """All that are recorded, oldest first; none where the record is absent or damaged.

    Raises:
        OpenLedger: others may write into it, or it is not this user's.
    """
    path = ledger_path()
    try:
        status = path.lstat()
    except OSError:
        return ()
    mine = not hasattr(os, "getuid") or status.st_uid in (os.getuid(), 0)
    if path.is_symlink() or status.st_mode & OTHERS_MAY_WRITE or not mine:
        raise OpenLedger(path)
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if status.st_size <= LEDGER_MAX:
            found = json.loads(path.read_bytes())
            if isinstance(found, list):
                return tuple(o for o in found if isinstance(o, str) and SHA256.fullmatch(o))
    return ()
