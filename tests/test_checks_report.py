"""`check-all` on screen: claimed beside measured, 80 columns."""

from __future__ import annotations

import io

from aitrade_cli.checks.report import CheckReport
from aitrade_cli.checks.result import Measured
from aitrade_cli.checks.runner import ClaimShown
from aitrade_cli.report.blocks import Verdict, view
from aitrade_cli.report.draw import draw
from tests.golden import assert_golden
from tests.lines import HELD, line

LINES = (
    HELD,
    line("below_claim", id="M5", reason="speed 2.10x of 3.10x", measured=Measured(2.1)),
    line(
        "unavailable",
        id="C5",
        reason="OpenVINO is not installed",
        claim=ClaimShown(None, None),
        measured=Measured(),
        conditions=None,
        wall_seconds=0.0,
    ),
    line("failed", id="M13", reason="agreement is 0.98 share, wanted at least 0.99"),
    line("held", id="G1", regression="speed 12.00x after 14.02x"),
)


def screen(report: CheckReport) -> str:
    stream = io.StringIO()
    draw(view(report), stream)
    return stream.getvalue()


def test_the_whole_screen(*, regen: bool) -> None:
    assert_golden("check_all.txt", screen(CheckReport(LINES)), regen=regen)


def test_no_line_is_wider_than_80_columns() -> None:
    assert max(map(len, screen(CheckReport(LINES)).splitlines())) <= 80


def test_the_verdict_counts_each_status() -> None:
    first = view(CheckReport(LINES))[0]
    text = "5 rows: 1 held, 1 below claim, 1 unavailable, 1 FAILED, 1 REGRESSION"
    assert isinstance(first, Verdict)
    assert (first.text, first.good) == (text, False)


def test_a_run_without_anything_bad_passes() -> None:
    assert CheckReport((HELD, line("below_claim"), line("unavailable"))).passed
    assert not CheckReport((HELD, line("failed"))).passed
    assert not CheckReport((HELD, line("held", regression="slower"))).passed


def test_one_row_is_one_row() -> None:
    assert screen(CheckReport((HELD,))).startswith("1 row: 1 held\n")
