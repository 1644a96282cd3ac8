"""One writer of a store at a time."""

from __future__ import annotations

from aitrade_cli import lock

NAME = lock.NAME


class StoreInUse(lock.InUse):
    """Another process writes to the store."""

    default_hint = "wait for it, or open the store for reading: `ReplayStore(path, mode='r')`"


class Lock(lock.Lock):
    """Held from its making until ``release``.

    Raises:
        StoreInUse: somebody else holds it.
    """

    refusal = StoreInUse
