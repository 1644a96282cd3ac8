"""Reports as JSON lines: what goes in comes out, and what is no number never does."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import WouldOverwrite
from aitrade_cli.report.ndjson import SCHEMA, to_data, write, write_error


class Side(Enum):
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Inner:
    share: float


@dataclass(frozen=True, slots=True)
class Report:
    name: str
    parts: tuple[Inner, ...]
    side: Side
    missing: float | None = None

    JSON_PROPERTIES = ("total",)

    @property
    def total(self) -> float:
        return sum(part.share for part in self.parts)


def plain_values() -> st.SearchStrategy[Any]:
    leaf = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
    return st.recursive(
        leaf.filter(lambda value: not isinstance(value, float) or math.isfinite(value)),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )


@given(plain_values())
def test_plain_data_comes_back_as_it_went_in(value: Any) -> None:
    stream = io.StringIO()
    write(stream, "inspect", "report", value)
    line = json.loads(stream.getvalue())
    assert line == {"aitrade": SCHEMA, "command": "inspect", "kind": "report", "data": value}


@given(st.text(st.characters(exclude_categories=())))
def test_a_line_is_one_line_of_ascii_whatever_the_words(text: str) -> None:
    stream = io.StringIO()
    write(stream, "inspect", "report", {text: text})
    written = stream.getvalue()
    assert written.isascii()
    assert written.count("\n") == 1
    assert json.loads(written)["data"] == {text: text}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": (1.0, v)}, Inner])
def test_what_is_no_number_is_refused_however_deep(value: float, wrap: Any) -> None:
    with pytest.raises(ValueError, match="None and a reason"):
        to_data(wrap(value))


def test_a_refused_report_writes_nothing() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="None and a reason"):
        write(stream, "bench", "report", [1.0, math.nan])
    assert stream.getvalue() == ""


def test_a_dataclass_keeps_its_names_and_adds_its_properties() -> None:
    report = Report("a", (Inner(0.25), Inner(0.5)), Side.LONG)
    assert to_data(report) == {
        "name": "a",
        "parts": [{"share": 0.25}, {"share": 0.5}],
        "side": "long",
        "missing": None,
        "total": 0.75,
    }


def test_a_set_comes_out_in_one_order() -> None:
    words = [f"word{number}" for number in range(50)]
    assert to_data(set(words)) == to_data(frozenset(reversed(words))) == sorted(words)


@pytest.mark.parametrize("value", [np.zeros(2), np.float32(1), b"x", Fraction(1, 3), Inner, 1j])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        to_data(value)


def test_a_failure_has_the_keys_of_a_report() -> None:
    stream = io.StringIO()
    write_error(stream, "quantize", WouldOverwrite("a.onnx"))
    line = json.loads(stream.getvalue())
    assert line.keys() == {"aitrade", "command", "kind", "data"}
    assert (line["command"], line["kind"]) == ("quantize", "error")
    assert line["data"].keys() == {"name", "message", "hint", "exit_code"}
    assert line["data"]["name"] == "WouldOverwrite"
    assert line["data"]["exit_code"] == 6
