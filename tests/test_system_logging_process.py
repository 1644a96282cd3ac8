"""The log of a whole process: its end, its forks, its options and its environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aitrade_cli.errors import Usage
from aitrade_cli.main import run
from aitrade_cli.system import logging
from aitrade_cli.system.logging import FileSink, LogWriter, StderrSink
from aitrade_cli.system.logging.sinks import LogUnwritable
from tests.shell import python


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_writes_its_own_records_and_none_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "log"
    told = python(
        f"""
import os, sys
from pathlib import Path
from aitrade_cli.system.logging import FileSink, LogWriter
writer = LogWriter(FileSink(Path({str(path)!r})), format="json", pause_s=0.3)
log = writer.logger("x")
log.info("parent", of=os.getpid())
child = os.fork()
log.info("after", of=os.getpid())
if not child:
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert told == ""
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(record["of"] == record["pid"] for record in said)
    assert sorted(record["event"] for record in said) == ["after", "after", "parent"]


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(0)"], ids=["falls off", "exits"])
def test_what_is_queued_is_written_when_the_program_ends(tmp_path: Path, end: str) -> None:
    path = tmp_path / "log"
    python(
        f"""
from pathlib import Path
from aitrade_cli.system.logging import FileSink, configure, get_logger
configure(sink=FileSink(Path({str(path)!r})), format="json", level="info")
for step in range(20):
    get_logger("x").info("step", step=step)
{end}
"""
    )
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == list(range(20))


def test_two_writers_may_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    both = [LogWriter(FileSink(path), format="json") for _ in range(2)]
    for step in range(10):
        both[step % 2].logger("x").info("step", step=step)
    for writer in both:
        writer.close()
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert sorted(steps) == list(range(10))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogUnwritable, match="No such file"):
        FileSink(tmp_path / "none" / "log")


@pytest.mark.parametrize(
    "wrong", [{"level": "loud"}, {"format": "xml"}], ids=lambda wrong: next(iter(wrong))
)
def test_an_unknown_word_in_the_environment_is_told(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(f"AITRADE_LOG_{name.upper()}", value)
    with pytest.raises(Usage, match="no log has"):
        logging.configure()
    assert logging.close() is None


def test_a_limit_below_one_is_told() -> None:
    with pytest.raises(Usage, match="limit"):
        LogWriter(StderrSink(), limit=0)


def test_the_program_logs_how_a_command_ended_where_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--log-level", "info", "--log-format", "json", "inspect", "none.pt"]
    monkeypatch.setattr("sys.argv", ["aitrade", *words])
    assert run(words) == 4
    said = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (said["command"], said["exit_code"], said["logger"]) == ("inspect", 4, "aitrade")
    assert "AITRADE_LOG_LEVEL" not in os.environ  # nothing stays behind


def test_the_program_is_silent_where_nobody_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["aitrade", "inspect", "none.pt"])
    assert run(["inspect", "none.pt"]) == 4
    assert "command ended" not in capsys.readouterr().err
