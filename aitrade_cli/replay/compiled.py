"""Where the store's loops find the compiler that all loops of the program share."""

from aitrade_cli.system.compiled import kernel

__all__ = ["kernel"]
