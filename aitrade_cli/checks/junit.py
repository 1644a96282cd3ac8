"""The same lines as JUnit XML, for CI systems that draw it."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from aitrade_cli.checks.report import why
from aitrade_cli.checks.runner import CheckLine
from aitrade_cli.report.plain import plain


def junit(lines: Sequence[CheckLine]) -> bytes:
    """One test case a row: failed rows and regressions fail, unavailable ones are skipped."""
    suite = ElementTree.Element(
        "testsuite",
        name="aitrade check-all",
        tests=str(len(lines)),
        failures=str(sum(line.bad for line in lines)),
        skipped=str(sum(line.status == "unavailable" for line in lines)),
        time=f"{sum(line.wall_seconds for line in lines):.3f}",
    )
    for line in lines:
        add_case(suite, line)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def add_case(suite: ElementTree.Element, line: CheckLine) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"aitrade.{line.command}",
        name=f"{line.id} {line.promise}",
        time=f"{line.wall_seconds:.3f}",
    )
    text = plain(why(line))  # XML has no form for control characters
    if line.bad:
        ElementTree.SubElement(case, "failure", message=text, type=line.status)
    elif line.status == "unavailable":
        ElementTree.SubElement(case, "skipped", message=text)
    elif line.status == "below_claim":
        ElementTree.SubElement(case, "system-out").text = f"below claim: {text}"
