"""Families of failure and their exit codes."""

from __future__ import annotations

import pytest

from aitrade_cli import errors
from aitrade_cli.catalog import EXIT_CODES
from aitrade_cli.errors import AitradeError, BadInput, NothingArrived, ReaderLeft, WouldOverwrite

FAMILIES = [
    (errors.VerdictNo, 1),
    (errors.Usage, 2),
    (errors.BadInput, 4),
    (errors.Missing, 5),
    (errors.Refused, 6),
    (errors.ReaderLeft, 141),
]


@pytest.mark.parametrize(("family", "code"), FAMILIES)
def test_a_family_ends_with_its_code(family: type[AitradeError], code: int) -> None:
    assert family.exit_code == code
    assert code in EXIT_CODES


def test_every_family_is_listed_here() -> None:
    assert set(AitradeError.__subclasses__()) >= {family for family, _ in FAMILIES}
    codes = [family.exit_code for family in AitradeError.__subclasses__()]
    assert sorted(codes) == sorted(set(codes))


def test_the_hint_of_the_class_stands_until_another_is_given() -> None:
    class Crooked(BadInput):
        default_hint = "straighten it"

    assert Crooked("it is crooked").hint == "straighten it"
    assert Crooked("it is crooked", hint="leave it").hint == "leave it"
    assert Crooked("it is crooked", hint="").hint == ""
    assert BadInput("bad").hint == ""


def test_a_name_is_the_word_that_scripts_match_on() -> None:
    assert WouldOverwrite("a.onnx").name == "WouldOverwrite"


@pytest.mark.parametrize(
    "error", [WouldOverwrite("a.onnx"), NothingArrived(), ReaderLeft()], ids=lambda e: e.name
)
def test_a_message_is_one_line_without_a_full_stop(error: AitradeError) -> None:
    assert "\n" not in str(error)
    assert not str(error).endswith(".")


def test_a_message_shows_the_value_in_backticks() -> None:
    assert str(WouldOverwrite("a.onnx")) == "`a.onnx` already exists"
