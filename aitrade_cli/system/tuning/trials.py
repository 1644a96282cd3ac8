"""Whether one way to start a program is faster than another, and not only luckier.

Each arm starts a new process in each round, in a new random order. One arm is the base a
second time: what separates the two is noise, and a gain has to be larger than that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Final, Literal

import numpy as np

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.units import Number

LEAST_ROUNDS: Final = 5
LEAST_BAND: Final = 0.03  # below that nothing is called a gain, however still the host is
DRAWS: Final = 2_000
STDERR_TAIL_BYTES: Final = 4_096
Standing = Literal["gain", "loss", "no change"]


class CommandFailed(BadInput):
    """The command to measure did not start, or ended with a failure."""


class TooFewRounds(Usage):
    """Fewer restarts than an interval can be drawn from."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of the command, its children included."""

    wall_seconds: float
    cpu_seconds: float
    minor_faults: int
    switches: int  # of context, voluntary or not
    throttled: int = 0  # periods in which its group was stopped


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to start the command.

    Attributes:
        name: how the report calls it.
        environment: variables to set; `None` unsets one.
        around: what holds while it runs.
    """

    name: str
    environment: Mapping[str, str | None]
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times an arm is as fast as the base.

    Attributes:
        ratio: median over rounds, > 1 where the arm is faster.
        low: 95 % bootstrap interval of that median, drawing whole rounds.
        high: its other end.
        band: noise: the largest ratio that the interval of base against base holds.
    """

    ratio: Number
    low: Number
    high: Number
    band: Number

    JSON_PROPERTIES = ("standing",)

    @property
    def standing(self) -> Standing:
        if self.low > self.band:
            return "gain"
        return "loss" if self.high < 1 / self.band else "no change"


def race(
    arms: Sequence[Arm],
    run: Callable[[Arm], Sample],
    *,
    rounds: int,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, list[Sample]]:
    """Run every arm once a round, in a random order; the samples by arm.

    Raises:
        TooFewRounds: fewer than ``LEAST_ROUNDS``.
    """
    if rounds < LEAST_ROUNDS:
        raise TooFewRounds(
            f"{rounds} rounds are too few", hint=f"an interval needs {LEAST_ROUNDS} or more"
        )
    random, found = Random(seed), {arm.name: list[Sample]() for arm in arms}
    for number in range(1, rounds + 1):
        order = list(arms)
        random.shuffle(order)
        for arm in order:
            say(f"round {number} of {rounds}: {arm.name}")
            with arm.around():
                found[arm.name].append(run(arm))
    return found


def compare(
    base: Sequence[float], again: Sequence[float], other: Sequence[float], *, seed: int = 0
) -> Comparison:
    """Judge an arm by its paired times, against the noise between two arms that are the same.

    Args:
        base: seconds of each round, > 0.
        again: the same command in the same rounds once more.
        other: the arm to judge, same rounds.
        seed: of the draws.

    Source:
        Efron 1979, the percentile bootstrap. https://doi.org/10.1214/aos/1176344552
    """
    left, right, judged = (np.asarray(times, dtype=np.float64) for times in (base, again, other))
    noise_low, noise_high = interval(left / right, seed)
    band = max(noise_high, 1 / noise_low, 1 + LEAST_BAND)
    ratios = np.sqrt(left * right) / judged
    low, high = interval(ratios, seed)
    return Comparison(float(np.median(ratios)), low, high, band)


def interval(ratios: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % of the medians of rounds drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (DRAWS, len(ratios)))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), (2.5, 97.5))
    return float(low), float(high)


def median_of(samples: Sequence[Sample], field: str) -> float:
    return float(median(getattr(sample, field) for sample in samples))


def run_command(
    command: Sequence[str], arm: Arm, *, throttled: Callable[[], int] = lambda: 0
) -> Sample:
    """Run a command to its end, its output thrown away, and read what it took.

    Raises:
        CommandFailed: it cannot be started, or ends with anything but 0.
    """
    environment = dict(os.environ)
    for name, value in arm.environment.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    with tempfile.TemporaryFile() as errors:
        before, started = throttled(), time.perf_counter()
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        except OSError as error:
            raise CommandFailed(f"cannot start `{command[0]}`: {error.strerror}") from error
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        code = process.returncode = os.waitstatus_to_exitcode(status)
        if code != 0:
            raise CommandFailed(
                f"`{' '.join(command)}` ended with {code} in the arm `{arm.name}`",
                hint=last_line(errors.fileno()),
            )
    return Sample(
        seconds,
        used.ru_utime + used.ru_stime,
        used.ru_minflt,
        used.ru_nvcsw + used.ru_nivcsw,
        throttled() - before,
    )


def last_line(descriptor: int) -> str:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    os.lseek(descriptor, max(0, size - STDERR_TAIL_BYTES), os.SEEK_SET)
    lines = os.read(descriptor, STDERR_TAIL_BYTES).decode(errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    return said[-1].strip() if said else "it said nothing on stderr"


def gains_of_identical_pairs(
    pairs: int, command: Sequence[str] = (sys.executable, "-c", "pass"), *, seed: int = 0
) -> int:
    """How many of so many comparisons of a command with itself are called a gain."""
    arms = [Arm(name, {}) for name in ("base", "again", "other")]
    gains = 0
    for number in range(pairs):
        found = race(
            arms, lambda arm: run_command(command, arm), rounds=LEAST_ROUNDS, seed=seed + number
        )
        times = [[sample.wall_seconds for sample in found[arm.name]] for arm in arms]
        gains += compare(*times, seed=seed + number).standing == "gain"
    return gains
