"""One row of the catalogue in a process of its own: `python -m aitrade_cli.checks.worker ID`.

The answer is one JSON line on stdout; the parent reads nothing else.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from aitrade_cli.catalog import ROWS
from aitrade_cli.errors import AitradeError, Missing
from aitrade_cli.report.ndjson import to_data


def main(row_id: str, quick: bool) -> None:
    """Run the check of one row and print what came of it."""
    row = next(row for row in ROWS if row.id == row_id)
    module, _, name = row.check.partition(":")
    answer: dict[str, object]
    try:
        result = getattr(import_module(module), name)(quick=quick)
        answer = {"result": to_data(result)}
    except Missing as error:
        answer = {"unavailable": str(error)}
    except AitradeError as error:
        answer = {"failed": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], "--quick" in sys.argv[2:])
