"""Run rows one after the other, each in its own process, so that none disturbs another's clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import IO, Any, Final

from aitrade_cli.catalog import ROWS, Claim, Row
from aitrade_cli.checks.result import (
    Bound,
    Case,
    CheckResult,
    Measured,
    Status,
    status_of,
)
from aitrade_cli.errors import Usage

QUICK_TIMEOUT_SECONDS: Final = 120.0
QUICK_TOTAL_SECONDS: Final = 885.0  # `--quick` promises a quarter of an hour for all rows
FULL_TIMEOUT_SECONDS: Final = 3_600.0  # S4: twelve programs with their fixes, 3 to 12 rounds each


class UnknownRow(Usage):
    """``--only`` names a row that the catalogue does not have."""

    def __init__(self, row_id: str) -> None:
        known = " ".join(row.id for row in ROWS)
        super().__init__(f"there is no row `{row_id}`", hint=f"the rows are {known}")


@dataclass(frozen=True, slots=True)
class ClaimShown:
    speedup: float | None
    memory_saved: float | None


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One row as `check-all --json` prints it."""

    id: str
    promise: str
    command: str
    status: Status
    reason: str | None
    claim: ClaimShown
    measured: Measured
    bounds: tuple[Bound, ...]
    cases: tuple[Case, ...]
    conditions: str | None
    wall_seconds: float
    regression: str | None = None  # against `--baseline`; None: none, or no baseline

    @property
    def bad(self) -> bool:
        return self.status == "failed" or self.regression is not None


def rows_named(only: Sequence[str]) -> tuple[Row, ...]:
    """The rows to run, in catalogue order; all of them where ``only`` is empty.

    Raises:
        UnknownRow: an id is not in the catalogue.
    """
    wanted = {row_id.strip().upper() for item in only for row_id in item.split(",")} - {""}
    for row_id in sorted(wanted - {row.id for row in ROWS}):
        raise UnknownRow(row_id)
    return tuple(row for row in ROWS if not wanted or row.id in wanted)


def run_checks(
    rows: Sequence[Row],
    *,
    quick: bool,
    timeout_seconds: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[CheckLine]:
    """Yield one line a row as soon as it is known."""
    start = time.monotonic()
    limit = timeout_seconds or (QUICK_TIMEOUT_SECONDS if quick else FULL_TIMEOUT_SECONDS)
    for position, row in enumerate(rows):
        done = "█" * position + "░" * (len(rows) - position)
        say(f"{done} {position}/{len(rows)}  {row.id} {row.promise}")
        if quick and timeout_seconds is None:
            left = start + QUICK_TOTAL_SECONDS - time.monotonic()
            limit = max(1.0, min(QUICK_TIMEOUT_SECONDS, left))
        yield run_check(row, quick=quick, timeout_seconds=limit)
    say(f"{'█' * len(rows)} {len(rows)}/{len(rows)}")


def run_check(row: Row, *, quick: bool, timeout_seconds: float) -> CheckLine:
    """Run one row; whatever happens to its process, a line comes back."""
    words = [sys.executable, "-m", "aitrade_cli.checks.worker", row.id]
    start = time.monotonic()
    try:
        done = run_alone([*words, "--quick"] if quick else words, timeout_seconds)
        line = line_from_answer(row, answer_of(done))
    except subprocess.TimeoutExpired:
        line = without_numbers(row, "failed", f"no answer within {timeout_seconds:.0f} s")
    return replace(line, wall_seconds=round(time.monotonic() - start, 3))


def run_alone(words: Sequence[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program in a process group of its own and leave nothing of it behind.

    A check starts processes of its own; they must not outlive it, measuring on into the
    next row. Its words go to files: a pipe would stay open as long as one of those lives.

    Raises:
        TimeoutExpired: it did not end in time, and was ended.
    """
    with TemporaryFile() as out, TemporaryFile() as err:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, process_group=0
        )
        try:
            code = process.wait(timeout_seconds)
        finally:
            end_group(process.pid)
            process.wait()
        return subprocess.CompletedProcess(words, code, text_of(out), text_of(err))


def text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="backslashreplace")


def end_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def answer_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        try:
            return json.loads(lines[-1])
        except ValueError:
            return {"failed": f"the check's process answered `{lines[-1][:80]}`"}
    last = (done.stderr.strip().splitlines() or ["no word on stderr"])[-1]
    return {"failed": f"the check's process ended with {done.returncode}: {last}"}


def line_from_answer(row: Row, answer: dict[str, Any]) -> CheckLine:
    if "unavailable" in answer:
        return without_numbers(row, "unavailable", answer["unavailable"])
    if "failed" in answer:
        return without_numbers(row, "failed", answer["failed"])
    result = result_from_data(answer["result"])
    status, reason = status_of(result, row.claim)
    return replace(
        without_numbers(row, status, reason),
        measured=result.measured,
        bounds=result.bounds,
        cases=result.cases,
        conditions=result.conditions,
    )


def result_from_data(data: dict[str, Any]) -> CheckResult:
    return CheckResult(
        Measured(**data["measured"]),
        bounds_from_data(data["bounds"]),
        data["conditions"],
        tuple(Case(**case) for case in data["cases"]),
        bounds_from_data(data["goals"]),
    )


def bounds_from_data(data: Sequence[dict[str, Any]]) -> tuple[Bound, ...]:
    told = [{name: value for name, value in one.items() if name != "passed"} for one in data]
    return tuple(Bound(**one) for one in told)


def without_numbers(row: Row, status: Status, reason: str | None) -> CheckLine:
    return CheckLine(
        row.id,
        row.promise,
        row.command,
        status,
        reason,
        shown(row.claim),
        Measured(),
        (),
        (),
        None,
        0.0,
    )


def shown(claim: Claim) -> ClaimShown:
    return ClaimShown(claim.speedup, claim.memory_saved)
