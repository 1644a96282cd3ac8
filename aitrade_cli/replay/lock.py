"""One writer of a store at a time."""

from __future__ import annotations

from aitrade_cli import lock
from aitrade_cli.lock import NAME, InUse

__all__ = ["NAME", "Lock", "StoreInUse"]


class StoreInUse(InUse):
    """Another process writes to the store."""

    default_hint = "wait for it, or open the store for reading: `ReplayStore(path, mode='r')`"


class Lock(lock.Lock):
    """Held from its making until ``release``.

    Raises:
        StoreInUse: somebody else holds it.
    """

    refusal = StoreInUse
