"""Records come out whole, in order and counted, whatever happens to the sink or the process."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aitrade_cli.system.logging import FileSink, LogWriter
from aitrade_cli.system.logging.records import Record, text_line


class Memory:
    """A sink that can be blocked, can refuse, and can take only a part."""

    def __init__(self) -> None:
        self.data = b""
        self.open = threading.Event()
        self.open.set()
        self.refuses = False
        self.takes = 10**9

    def write(self, data: bytes) -> int:
        self.open.wait(timeout=60)
        if self.refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: self.takes]
        self.data += part
        return len(part)

    def close(self) -> None: ...

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.splitlines()]

    @property
    def events(self) -> list[str]:
        return [record["event"] for record in self.said]


@pytest.fixture
def sink() -> Memory:
    return Memory()


@pytest.fixture
def writer(sink: Memory) -> Iterator[LogWriter]:
    made = LogWriter(sink, format="json", limit=50, pause_s=0.01)
    yield made
    sink.refuses = False
    sink.open.set()
    made.close()


def test_records_come_out_in_order_with_their_fields(sink: Memory, writer: LogWriter) -> None:
    log = writer.logger("train").bind(run=7)
    for step in range(40):
        log.info("step", step=step, loss=0.5)
    assert writer.close().written == 40
    assert [record["step"] for record in sink.said] == list(range(40))
    assert {(r["logger"], r["level"], r["run"], r["loss"]) for r in sink.said} == {
        ("train", "info", 7, 0.5)
    }


def test_the_caller_does_not_wait_for_the_sink(sink: Memory, writer: LogWriter) -> None:
    sink.open.clear()
    for step in range(30):
        writer.logger("x").info("step", step=step)
    assert sink.data == b""  # got here while the sink takes nothing
    sink.open.set()
    writer.close()
    assert len(sink.said) == 30


def test_what_is_below_the_level_is_not_kept(sink: Memory) -> None:
    with_level = LogWriter(sink, format="json", level="error")
    log = with_level.logger("x")
    log.warning("no")
    log.error("yes")
    with_level.close()
    assert sink.events == ["yes"]


def test_an_overflow_is_counted_and_said(sink: Memory, writer: LogWriter) -> None:
    writer._pause_s = 60.0  # nobody empties the queue meanwhile
    for step in range(73):
        writer.logger("x").info("step", step=step)
    assert (writer.counts().dropped, writer.counts().waiting) == (23, 50)
    writer.close()
    *kept, confession = sink.said
    assert [record["step"] for record in kept] == list(range(50))
    assert (confession["dropped"], confession["limit"]) == (23, 50)


def test_records_of_many_threads_are_all_there(sink: Memory) -> None:
    writer = LogWriter(sink, format="json", limit=10_000)
    log = writer.logger("x")

    def speak(name: int) -> None:
        for step in range(200):
            log.info("step", name=name, step=step)

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = writer.close()
    assert (counts.written, counts.dropped, counts.lost) == (800, 0, 0)
    for name in range(4):
        assert [r["step"] for r in sink.said if r["name"] == name] == list(range(200))


def test_a_full_disk_loses_nothing_that_the_queue_can_hold(sink: Memory, writer: LogWriter) -> None:
    sink.refuses = True
    writer.logger("x").info("first")
    assert not writer.flush()
    writer.logger("x").info("second")
    assert writer.counts().failures >= 1
    assert writer.counts().last_failure == "No space left on device"
    sink.refuses = False
    assert writer.flush()
    assert sink.events == ["first", "second"]


def test_what_a_full_disk_never_took_is_said_at_the_end(
    sink: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = LogWriter(sink, format="json")
    sink.refuses = True
    for _ in range(3):
        writer.logger("x").info("step")
    assert writer.close().lost == 3
    assert "3 records could not be written: No space left on device" in capsys.readouterr().err


def test_a_line_that_is_taken_in_parts_is_whole(sink: Memory, writer: LogWriter) -> None:
    sink.takes = 7
    writer.logger("x").info("a long enough event")
    writer.close()
    assert sink.events == ["a long enough event"]


def test_a_list_that_grows_after_the_call_is_logged_as_it_was(
    sink: Memory, writer: LogWriter
) -> None:
    shape, array = [1, 2], np.arange(3)
    writer.logger("x").info("shape", shape=shape, array=array, one=np.float32(0.5))
    shape.append(3)
    array[:] = 9
    writer.close()
    assert sink.said[0]["shape"] == [1, 2]
    assert sink.said[0]["array"] == "[0 1 2]"
    assert sink.said[0]["one"] == 0.5


def test_an_exception_is_data_in_json_and_lines_in_text(sink: Memory, writer: LogWriter) -> None:
    def fail() -> None:
        try:
            raise KeyError("bars")
        except KeyError as error:
            raise ValueError("no bars") from error

    try:
        fail()
    except ValueError:
        writer.logger("x").exception("failed", symbol="EURUSD")
    writer.close()
    (said,) = sink.said
    assert [one["type"] for one in said["exception"]] == ["ValueError", "KeyError"]
    assert said["exception"][0]["frames"][-1]["function"] == "fail"
    text = text_line(Record(0, "error", "x", "failed", {}, tuple(said["exception"])))
    assert "    ValueError: no bars\n" in text
    assert "    caused by KeyError: 'bars'\n" in text


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no name")


def test_a_value_that_cannot_be_told_does_not_end_the_log(sink: Memory, writer: LogWriter) -> None:
    writer.logger("x").info("odd", value=Rude(), number=float("nan"), level="mine")
    writer.logger("x").info("next")
    writer.close()
    odd, after = sink.said
    assert (odd["value"], odd["number"]) == ("<Rude: RuntimeError>", "nan")
    assert (odd["level"], odd["level_"]) == ("info", "mine")
    assert after["event"] == "next"


def test_what_comes_after_the_end_is_written_in_the_call(sink: Memory) -> None:
    writer = LogWriter(sink, format="json")
    log = writer.logger("x")
    log.info("before")
    writer.close()
    log.info("after")
    assert sink.events == ["before", "after"]


def test_what_comes_after_the_end_reaches_its_own_file_and_no_other(tmp_path: Path) -> None:
    writer = LogWriter(FileSink(tmp_path / "log"), format="json")
    log = writer.logger("x")
    log.info("before")
    writer.close()
    with open(tmp_path / "model.pt", "wb"):  # takes the number that the log's file had
        log.info("after")
    assert (tmp_path / "model.pt").read_bytes() == b""
    said = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert said == ["before", "after"]
    assert writer.counts().written == 2


def test_what_is_refused_after_the_end_is_counted_and_told(
    sink: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = LogWriter(sink, format="json")
    writer.close()
    sink.refuses = True
    writer.logger("x").info("lost")
    sink.refuses = False
    writer.logger("x").info("kept")
    assert sink.events == ["kept"]
    assert (writer.counts().lost, writer.counts().written) == (1, 1)
    assert "1 records could not be written: No space left on device" in capsys.readouterr().err


def test_records_behind_one_that_was_refused_are_written_or_counted(sink: Memory) -> None:
    writer = LogWriter(sink, format="json", limit=2, synchronous=True)
    sink.refuses = True
    for step in range(4):
        writer.logger("x").info("step", step=step)
    sink.refuses = False
    assert writer.flush()
    assert [one.get("step", one.get("dropped")) for one in sink.said] == [0, 1, 2]
    assert (writer.counts().written, writer.counts().dropped) == (3, 2)


def test_the_synchronous_writer_says_the_same(sink: Memory) -> None:
    writer = LogWriter(sink, format="json", synchronous=True)
    writer.logger("x").info("now", a=1)
    assert (sink.events, writer.counts().written) == (["now"], 1)
