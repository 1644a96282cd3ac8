"""The reference page defines every number of the report, and shows the screen as it is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.decisions import Decisions, Stance
from aitrade_cli.fidelity.drift import Difference, Drift
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.fidelity.gate import Gate
from aitrade_cli.fidelity.parity import CaseResult, Parity
from aitrade_cli.fidelity.report import Change, EquivalenceReport
from aitrade_cli.fidelity.trading import Evaluated
from aitrade_cli.market.metrics import Metrics
from tests.golden import FOLDER

PAGE = Path(__file__).parent.parent / "docs/reference/equivalence-report.md"
PARTS = (
    EquivalenceReport, Gate, Change, Evaluated, Coverage, Parity, CaseResult, Decisions, Stance,
    Drift, Difference, Metrics, Gain,
)  # fmt: skip


def undefined(part: type, page: str) -> set[str]:
    named = set(re.findall(r"`([a-z_0-9]+)`", page))
    keys = {one.name for one in fields(part)} | set(getattr(part, "JSON_PROPERTIES", ()))
    return keys - named


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_figure_is_defined(part: type) -> None:
    assert undefined(part, PAGE.read_text(encoding="utf-8")) == set()


def test_a_figure_that_is_not_defined_would_be_noticed() -> None:
    assert undefined(Stance, "| `long` `flat` | shares |") == {"short"}


def test_the_screen_on_the_page_is_the_reviewed_one() -> None:
    screen = (FOLDER / "equivalence_held.txt").read_text(encoding="utf-8").rstrip()
    assert f"```text\n{screen}\n```" in PAGE.read_text(encoding="utf-8")
