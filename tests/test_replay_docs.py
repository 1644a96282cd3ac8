"""The Python on the pages about replay runs, given what a reader has at hand."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.shell import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROWS = 256


def at_hand(rng: np.random.Generator) -> dict[str, Any]:
    """What the pages take from the reader's own code."""
    return {
        "obs": rng.normal(size=64).astype(np.float32),
        "next_obs": rng.normal(size=64).astype(np.float32),
        "frame": rng.integers(0, 256, (84, 84), dtype=np.uint8),
        "next_frame": rng.integers(0, 256, (84, 84), dtype=np.uint8),
        "act": 1,
        "reward": 0.5,
        "terminated": False,
        "truncated": False,
        "td_error": rng.normal(size=ROWS),
        "td_errors": rng.normal(size=ROWS),
        "learn": lambda *parts: len(parts),
        "learner": SimpleNamespace(version=3),
        "log_prob": np.float32(-0.5),
        "log_prob_now": -rng.random(ROWS),
        "shard_gradients": rng.normal(size=(8, 30)),
        "emulator_state": np.zeros(3),
        "action": 1,
        "run": lambda state, action: {"obs": state, "reward": float(action)},
        "target_log_prob": -rng.random((5, 4)),
        "behavior_log_prob": -rng.random((5, 4)),
        "rewards": rng.normal(size=(5, 4)),
        "discounts": np.full((5, 4), 0.99),
        "values": rng.normal(size=(5, 4)),
        "bootstrap": rng.normal(size=4),
    }


@pytest.mark.parametrize("page", ["replay", "prioritised-replay"])
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / f"docs/how-to/{page}.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert blocks
    names = at_hand(np.random.default_rng(0))
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)
