"""What a latency measurement found, and how its figures are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.inference.resampling import Interval, Ratio, paired_ratio
from aitrade_cli.inference.variants import Effort, NotRun
from aitrade_cli.system.host import Host, Load

Judgement = Literal["faster", "slower", "tie"]

# Two processes of one variant differ by their memory layout for as long as they live. One
# control pair is one draw of that, so the band is never taken to be narrower than this.
NOISE_FLOOR: Final = 1.03


@dataclass(frozen=True, slots=True)
class Latency:
    """One variant at one batch size.

    Attributes:
        runs: measured calls; a percentile needs ten calls beyond it, else it is `None`.
        latency_us_p50: median time of one call of the whole batch, in microseconds.
        latency_us_p50_interval: 95 %, bootstrap over rounds.
        throughput_per_second: windows answered per second at the median.
        peak_memory_bytes: of the whole process, interpreter and runtime included.
        size_bytes: of the weights or the graph; of the whole file where only that is known.
        first_call_us: the first call after opening, in which a compiling runtime compiles.
        round_us_p50: the median of each round; what ratios and ties are made from.
        inputs: where the windows came from: ``given``, ``sample`` or ``random``.
    """

    variant: str
    runtime: str
    device: str
    threads: int
    batch: int
    runs: int
    latency_us_p50: float
    latency_us_p50_interval: Interval
    latency_us_p99: float | None
    latency_us_p999: float | None
    percentile_reason: str | None
    throughput_per_second: float
    peak_memory_bytes: int
    size_bytes: int
    open_seconds: float
    first_call_us: float
    inputs: str
    round_us_p50: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Noise:
    """What the control found: how far two processes of the same variant lie apart."""

    batch: int
    control: Ratio | None  # of the second process to the first; None without a control
    band: float  # >= 1; a ratio between 1/band and band is a tie


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variant against the first at one batch size."""

    variant: str
    baseline: str
    batch: int
    speed: Ratio  # times as fast as the baseline
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """A measurement: every variant that ran, against the first of them."""

    latencies: tuple[Latency, ...]
    comparisons: tuple[Comparison, ...]
    noise: tuple[Noise, ...]
    not_run: tuple[NotRun, ...]
    host: Host
    load: Load
    effort: Effort
    seed: int

    def baseline(self, batch: int = 1) -> str:
        """The variant that counts as 1 at a batch size: the first that ran there.

        Raises:
            BadInput: nothing was measured at this batch size.
        """
        for found in self.latencies:
            if found.batch == batch:
                return found.variant
        raise BadInput(f"nothing was measured at batch {batch}")

    def latency(self, variant: str, batch: int = 1) -> Latency:
        """The figures of one variant.

        Raises:
            BadInput: it was not measured at this batch size.
        """
        for found in self.latencies:
            if (found.variant, found.batch) == (variant, batch):
                return found
        raise BadInput(f"`{variant}` was not measured at batch {batch}")

    def speed(self, variant: str, over: str | None = None, batch: int = 1) -> Ratio:
        """How many times ``variant`` is as fast as ``over`` (the baseline where not given).

        Raises:
            BadInput: one of them was not measured at this batch size.
        """
        slow = self.latency(over or self.baseline(batch), batch)
        return speed_over(self.latency(variant, batch), slow, self.seed)

    def band(self, batch: int = 1) -> float:
        """The noise at a batch size, as a ratio >= 1."""
        return next((noise.band for noise in self.noise if noise.batch == batch), NOISE_FLOOR)

    def judge(self, variant: str, over: str | None = None, batch: int = 1) -> Judgement:
        """Whether ``variant`` is faster than ``over``, slower, or as good as equal."""
        return judge(self.speed(variant, over, batch), self.band(batch))

    def faster_beyond_noise(self, variant: str, over: str | None = None, batch: int = 1) -> bool:
        """True where the whole interval of the speed lies beyond the noise band."""
        return self.judge(variant, over, batch) == "faster"


def speed_over(fast: Latency, slow: Latency, seed: int) -> Ratio:
    """How many times ``fast`` is as fast as ``slow``; both from the same rounds."""
    return paired_ratio(np.array(slow.round_us_p50), np.array(fast.round_us_p50), seed=seed)


def judge(speed: Ratio, band: float) -> Judgement:
    """Compare an interval with the noise band around 1."""
    if speed.interval.low > band:
        return "faster"
    if speed.interval.high < 1 / band:
        return "slower"
    return "tie"


def noise_of(batch: int, control: Ratio | None) -> Noise:
    """The band that the control spans, on both sides of 1 alike, and never under the floor."""
    if control is None:
        return Noise(batch, None, NOISE_FLOOR)
    bounds = (control.interval.low, control.interval.high)
    return Noise(batch, control, max(NOISE_FLOOR, *(math.exp(abs(math.log(b))) for b in bounds)))
