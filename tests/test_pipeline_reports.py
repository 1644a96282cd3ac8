"""One thing owns stdout: the artefact where there is one, the report otherwise."""

from __future__ import annotations

import errno
import io
import json
import sys

import pytest

from aitrade_cli.errors import ReaderLeft
from aitrade_cli.pipeline import emit
from aitrade_cli.pipeline.reports import telling_of_stdout
from aitrade_cli.pipeline.streams import CannotWrite
from tests.test_report_draw import Own as Report

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("artefact", [None, "small.onnx"])
def test_a_report_takes_stdout_where_no_artefact_does(
    artefact: str | None, capsys: Captured
) -> None:
    emit(Report(), command="bench", as_json=False, artefact=artefact)
    assert capsys.readouterr() == ("mine\n", "")


def test_a_report_gives_way_to_the_artefact(capsys: Captured) -> None:
    emit(Report(), command="quantize", as_json=False, artefact="-")
    assert capsys.readouterr() == ("", "mine\n")


def test_json_changes_the_form_and_never_the_stream(capsys: Captured) -> None:
    emit({"a": 1}, command="quantize", as_json=True, artefact="-")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["data"] == {"a": 1}


def test_the_kind_of_a_line_can_be_given(capsys: Captured) -> None:
    emit({}, command="check-all", as_json=True, kind="check")
    assert json.loads(capsys.readouterr().out)["kind"] == "check"


class Broken(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _: str) -> int:
        raise OSError(self.number, "it failed")


@pytest.mark.parametrize(
    ("number", "failure"), [(errno.EPIPE, ReaderLeft), (errno.ENOSPC, CannotWrite)]
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_failed_write_ends_as_a_shell_expects(
    monkeypatch: pytest.MonkeyPatch, number: int, failure: type[Exception], *, as_json: bool
) -> None:
    # Otherwise the test run's own descriptor would be pointed at /dev/null.
    monkeypatch.setattr("aitrade_cli.pipeline.streams.silence_stdout", lambda: None)
    monkeypatch.setattr(sys, "stdout", Broken(number))
    report = {"a": 1} if as_json else Report()
    with pytest.raises(failure):
        emit(report, command="bench", as_json=as_json)


def test_other_failures_pass_through_unchanged() -> None:
    with pytest.raises(KeyError), telling_of_stdout():
        raise KeyError
