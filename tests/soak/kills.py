"""Kill a process while it writes: whoever reads finds one whole file, the old or the new.

python -m tests.soak.kills --count 500 --seed 1
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

SIZE: Final = 3_000_000
PATIENCE_SECONDS: Final = 600.0
# Puts a file of one letter after another, for ever.
WHOLE: Final = f"""
import itertools, sys
from pathlib import Path
from aitrade_cli.files import replace
for letter in itertools.cycle(b"AB"):
    replace(Path(sys.argv[1]), bytes([letter]) * {SIZE})
"""
# The same without care: what the reader has to notice.
CARELESS: Final = f"""
import itertools, sys, time
for letter in itertools.cycle(b"AB"):
    with open(sys.argv[1], "wb") as file:
        file.write(bytes([letter]) * ({SIZE} // 2))
        file.flush()
        time.sleep(0.05)
        file.write(bytes([letter]) * ({SIZE} // 2))
"""


def torn(data: bytes) -> bool:
    """Whether this is anything but one of the two whole files."""
    return len(data) != SIZE or data not in (data[:1] * SIZE, b"") or data[:1] not in b"AB"


def kill_while_writing(path: Path, random: Random, writer: str = WHOLE) -> bytes:
    """What lies at ``path`` after its writer was killed at a random moment."""
    path.unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-c", writer, str(path)]) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.06))
        process.kill()
    return path.read_bytes()


def run(count: int, seed: int, folder: Path, writer: str = WHOLE) -> int:
    """How many of ``count`` kills left a torn file."""
    random = Random(seed)
    found = (kill_while_writing(folder / "model.onnx", random, writer) for _ in range(count))
    return sum(torn(data) for data in found)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        failures = run(asked.count, asked.seed, Path(folder))
    sys.stdout.write(f"{asked.count} kills, {failures} torn files\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
