"""A real kernel's network values, set and put back where nobody else sees them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

WORKER_SECONDS: Final = 120.0
IN_A_NAMESPACE: Final = """
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.tree import Tree
names = ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"]
keys = ["/proc/sys/" + name.replace(".", "/") for name in names]
for key in keys:
    Path(key).write_text("4096 65536 1048576")
before = [Path(key).read_text() for key in keys]
facts = read_facts(Tree(Path(sys.argv[1])))
tree = Tree(Path(sys.argv[1]), kernel=Path("/"))
plan = make_plan(replace(facts, tree=tree), "feed", only=names)
apply_plan(plan, tree, places_for(tree), now=datetime.now(UTC))
changed = [Path(key).read_text() for key in keys]
revert(tree, places_for(tree))
after = [Path(key).read_text() for key in keys]
unchanged = sum(one == other for one, other in zip(before, changed))
print(unchanged + sum(one != other for one, other in zip(before, after)))
"""


def private_network_keys_that_differ() -> int | None:
    """Keys of a network namespace of our own that were not set, or not put back; see `None`.

    `None` where the kernel gives us no such namespace.
    """
    with tempfile.TemporaryDirectory(prefix="aitrade-check-") as folder:
        root = Path(folder)
        for flags in ("-Urn", "-n"):
            with suppress(OSError, subprocess.SubprocessError, ValueError):
                done = subprocess.run(
                    ["unshare", flags, sys.executable, "-P", "-c", IN_A_NAMESPACE, str(root)],
                    capture_output=True,
                    text=True,
                    timeout=WORKER_SECONDS,
                    check=True,
                )
                return int(done.stdout)
    return None
