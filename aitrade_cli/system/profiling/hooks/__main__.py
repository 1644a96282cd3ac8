"""`python …/hooks/__main__.py ORDER.json`: run a script as if by itself, and watch it."""

import sys
from pathlib import Path

# Another interpreter may not have aitrade installed: it is found beside this file.
sys.path[0] = str(Path(__file__).resolve().parents[4])

from aitrade_cli.system.profiling.hooks.run import main  # noqa: E402

del sys.path[0]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
