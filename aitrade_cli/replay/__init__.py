"""Experience to learn from, kept once and found again: in memory, on disk, or both."""

from aitrade_cli.replay.batch import Batch
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

__all__ = ["Batch", "Field", "ReplayStore", "Schema"]
