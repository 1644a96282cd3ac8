"""What every command does with stdin, stdout, files and the reader at the other end."""

from aitrade_cli.pipeline.artefacts import load_incoming, load_input
from aitrade_cli.pipeline.progress import progress
from aitrade_cli.pipeline.reports import emit
from aitrade_cli.pipeline.streams import (
    STDIO,
    Incoming,
    output_name,
    read_input,
    write_output,
)

__all__ = [
    "STDIO",
    "Incoming",
    "emit",
    "load_incoming",
    "load_input",
    "output_name",
    "progress",
    "read_input",
    "write_output",
]
