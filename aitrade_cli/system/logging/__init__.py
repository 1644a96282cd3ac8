"""Structured logging that costs the caller microseconds: records are written by one thread.

from aitrade_cli.system.logging import get_logger

log = get_logger("train")
log.info("epoch done", epoch=3, loss=0.21)
"""

from aitrade_cli.system.logging.process import close, configure, get_logger
from aitrade_cli.system.logging.records import LEVELS, Format, Level
from aitrade_cli.system.logging.sinks import FileSink, Sink, StderrSink
from aitrade_cli.system.logging.writer import LogCounts, LogWriter

__all__ = [
    "LEVELS",
    "FileSink",
    "Format",
    "Level",
    "LogCounts",
    "LogWriter",
    "Sink",
    "StderrSink",
    "close",
    "configure",
    "get_logger",
]
