"""JUnit XML that other programs can read."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.checks.junit import junit
from aitrade_cli.checks.runner import CheckLine
from tests.lines import HELD, line


def suite_of(*lines: CheckLine) -> ElementTree.Element:
    found = ElementTree.fromstring(junit(lines)).find("testsuite")
    assert found is not None
    return found


def only_case(found: CheckLine) -> ElementTree.Element:
    case = suite_of(found).find("testcase")
    assert case is not None
    return case


def test_the_suite_counts_what_its_cases_say() -> None:
    lines = (
        HELD,
        line("below_claim", reason="slow"),
        line("unavailable", reason="no GPU"),
        line("failed", reason="broken"),
        line("held", regression="slower"),
    )
    suite = suite_of(*lines)
    assert suite.attrib["tests"] == str(len(suite.findall("testcase"))) == "5"
    assert suite.attrib["failures"] == str(len(suite.findall("*/failure"))) == "2"
    assert suite.attrib["skipped"] == str(len(suite.findall("*/skipped"))) == "1"
    assert float(suite.attrib["time"]) == pytest.approx(5 * HELD.wall_seconds)


def test_a_case_names_row_promise_and_time() -> None:
    case = only_case(HELD)
    assert case.attrib == {
        "classname": "aitrade.inspect",
        "name": "T0 A promise",
        "time": "12.500",
    }
    assert list(case) == []


@pytest.mark.parametrize(
    ("found", "tag", "text"),
    [
        (line("failed", reason="broken"), "failure", "broken"),
        (line("failed", reason="broken", regression="slower"), "failure", "broken; slower"),
        (line("held", regression="slower"), "failure", "slower"),
        (line("unavailable", reason="no GPU"), "skipped", "no GPU"),
    ],
)
def test_the_reason_is_the_message(found: CheckLine, tag: str, text: str) -> None:
    (child,) = only_case(found)
    assert (child.tag, child.attrib["message"]) == (tag, text)


def test_below_the_claim_passes_and_says_so() -> None:
    (child,) = only_case(line("below_claim", reason="speed 3.00x of 3.10x"))
    assert (child.tag, child.text) == ("system-out", "below claim: speed 3.00x of 3.10x")


@given(st.text(st.characters(exclude_categories=())))
def test_any_words_give_xml_that_parses(words: str) -> None:
    (child,) = only_case(line("failed", reason=words))
    assert child.tag == "failure"
