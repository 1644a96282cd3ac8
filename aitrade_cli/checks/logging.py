"""Proof of S6: a log call costs the caller little, and every record is written or counted."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aitrade_cli.checks.result import Bound, Case, CheckResult
from aitrade_cli.checks.turns import seconds_of, take_turns
from aitrade_cli.system.logging import FileSink, LogWriter

RECORDS = 1_000  # a burst: fewer than the queue holds
OVERFLOW, LIMIT = 2_000, 500
# Of the upper ends of the intervals: a busy host must not fail a check.
LEAST_SPEED = 1.2  # of a direct write
LEAST_STANDARD = 1.0  # of a line of the standard library's
CONDITIONS = (
    f"bursts of {RECORDS:,} records with three fields, one thread, into files; the writer's own"
    " work falls between the bursts; against `logging.FileHandler` with the same fields as text;"
)


def calls_do_not_wait(quick: bool) -> CheckResult:
    """A structured record costs its caller less than a line of the standard library's."""
    rounds = 15 if quick else 60
    with tempfile.TemporaryDirectory(prefix="aitrade-check-") as place, ways(Path(place)) as arms:
        turns = take_turns({name: way.burst for name, way in arms.items()}, rounds)
        cpu = {name: cpu_us(way) for name, way in arms.items()}
        told = dropped_and_told(Path(place) / "overflow")
        lines = len((Path(place) / "queued").read_text(encoding="utf-8").splitlines())
    wanted = RECORDS * (2 * rounds + 1)  # twice a round for the control, once for its CPU
    speeds = {name: turns.speed("queued", name) for name in ("standard", "direct")}
    return CheckResult(
        turns.measured("queued", "standard"),
        (
            Bound("records missing in the file", wanted - lines, 0, "at_most", "records"),
            Bound("overflow not told", told, 0, "at_most", "records"),
            Bound(
                "speed of the standard library's line, upper end",
                speeds["standard"].interval.high,
                LEAST_STANDARD,
                "at_least",
                "times",
            ),
            Bound(
                "speed of a direct write, upper end",
                speeds["direct"].interval.high,
                LEAST_SPEED,
                "at_least",
                "times",
            ),
        ),
        f"{rounds} rounds in turn: {CONDITIONS} {turns.control('queued')}",
        tuple(
            Case(
                name,
                None if name == "queued" else speeds[name].value,
                None,
                f"{turns.median(name) / RECORDS * 1e6:.1f} µs a call,"
                f" {cpu[name]:.1f} µs of CPU a record in all",
            )
            for name in arms
        ),
    )


class Way:
    """One way of logging; a burst is timed, and written out before the next."""

    def __init__(self, call: Callable[[int], None], finish: Callable[[], object]) -> None:
        self._call = call
        self._finish = finish

    def burst(self) -> float:
        """Seconds of the calls alone."""
        taken = seconds_of(self._calls)
        self._finish()
        return taken

    def _calls(self) -> None:
        for step in range(RECORDS):
            self._call(step)


@contextmanager
def ways(place: Path) -> Iterator[dict[str, Way]]:
    """Ours behind the queue, the standard library's, and ours without the queue."""
    queued = LogWriter(FileSink(place / "queued"), format="json")
    direct = LogWriter(FileSink(place / "direct"), format="json", synchronous=True)
    ours, plain = queued.logger("check"), direct.logger("check")
    handler = logging.FileHandler(place / "standard")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    standard = logging.Logger("check", logging.INFO)  # hangs below no other logger
    standard.addHandler(handler)
    try:
        yield {
            "queued": Way(
                lambda at: ours.info("step", step=at, loss=0.25, rate=1e-3), queued.flush
            ),
            "standard": Way(
                lambda at: standard.info("step step=%d loss=%g rate=%g", at, 0.25, 1e-3),
                handler.flush,
            ),
            "direct": Way(
                lambda at: plain.info("step", step=at, loss=0.25, rate=1e-3), direct.flush
            ),
        }
    finally:
        handler.close()
        queued.close()
        direct.close()


def cpu_us(way: Way) -> float:
    """CPU of the whole process for one record, the writer's thread included."""
    start = time.process_time()
    way.burst()
    return (time.process_time() - start) / RECORDS * 1e6


def dropped_and_told(path: Path) -> int:
    """Records of an overflow that are neither in the file nor counted in it."""
    writer = LogWriter(FileSink(path), format="json", limit=LIMIT, pause_s=60.0)
    log = writer.logger("check")
    for step in range(OVERFLOW):
        log.info("step", step=step)
    writer.close()
    said = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = sum(record["event"] == "step" for record in said)
    return OVERFLOW - kept - sum(record.get("dropped", 0) for record in said)
