"""Which texts of an exported program pass."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.model.artefact import Exported
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.program_json import CodeInProgram, check_expression
from tests import hostile


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s3', positive=True, integer=True)",
        "Add(Mul(Integer(12), Symbol('s6', positive=True, integer=True)), Integer(24))",
        "s0 + 2*s1 - 1",
        "FloorDiv(s0, 2)",
        "Max(1, s0)",
        "12",
    ],
)
def test_shapes_that_torch_writes_are_let_in(text: str) -> None:
    check_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "s0.__class__",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "9**9**9",
        "Symbol('os', cls=print)",
        "Symbol(*[1])",
        "exec('x')",
        "Symbol('__import__')",
        "s0 if s0 else s0",
        "'text'",
        "1 << 9999",
        "Add(**{})",
        "f(1)",
        "(" * 300 + "1" + ")" * 300,
        "1+" * 1500 + "1",
        "",
        "s0;s1",
        "s0\n",
        "99999999999999999999999",
    ],
)
def test_shapes_that_are_more_than_sums_are_refused(text: str) -> None:
    if text == "s0\n":
        check_expression(text)  # a line end changes nothing
        return
    with pytest.raises(CodeInProgram):
        check_expression(text)


@settings(max_examples=200)
@given(st.text(alphabet="s01+-*()., '\"_SymbolAdintegr=Tu[]{}:@%", max_size=40))
def test_what_passes_as_a_shape_names_nothing_but_symbols_and_sums(text: str) -> None:
    try:
        check_expression(text)
    except CodeInProgram:
        return
    for node in ast.walk(ast.parse(text, mode="eval")):
        assert not isinstance(node, ast.Attribute | ast.Subscript | ast.Lambda | ast.ListComp)


def test_a_rebuilt_program_holds_no_pickle_of_the_files_own() -> None:
    network = load(hostile.exported()).network
    assert isinstance(network, Exported)
    program = json.loads(hostile.members_of(network.pt2_bytes)[hostile.PROGRAM])
    assert program["guards_code"] == []
    tables = hostile.every_table(program)
    assert all(table["metadata"] == {} for table in tables if "metadata" in table)
