"""A sample of the soak that kills trainings; `make soak` runs a hundred.

In a process of its own: the checks of shapes that pytest switches on draw from Python's generator.
"""

from __future__ import annotations

import subprocess
import sys

from tests.shell import ROOT


def soaked(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.soak.train", "--kills", "2", "--seed", "6", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_killed_trainings_end_as_if_nobody_had() -> None:
    done = soaked()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills in " in done.stdout


def test_a_resume_that_forgets_the_noise_is_noticed() -> None:
    done = soaked("--careless")
    assert done.returncode == 1, done.stdout + done.stderr
    assert ".epochs" in done.stdout
