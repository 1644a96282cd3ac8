"""One network in one form, what it costs, and which of them nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from aitrade_cli.passes.optimize.settings import Minimize, Settings
from aitrade_cli.passes.optimize.shapes import DENSE

# Share of the flips allowed that may be expected to be used up. What was cut and taught has been
# selected by its flips on the choosing windows, rung by rung and among many: it keeps less there.
SAFETY: Final = 0.7
SAFETY_TAUGHT: Final = 0.5
TIE: Final = 1.10  # two runs of one graph in two processes lie this far apart


@dataclass(frozen=True, slots=True)
class Point:
    """One deployable candidate.

    Attributes:
        shape: of the network, e.g. ``pruned 50 %``.
        form: how it is stored and run, e.g. ``static INT8, openvino, 1 thread``.
        command: the single command that would have given it; empty where it takes several.
        runtime: that runs it.
        precision: that runtime computes in, where it has a choice.
        threads: of the runtime.
        speedup: over the source in eager float32 on one thread, both in one race.
        latency_us: median of one call at batch 1.
        size_bytes: of the network, without its card.
        flips: expected share of bars decided otherwise, on bars kept for choosing; None
            without a decision rule.
        file: name of its graph within the study.
    """

    shape: str
    form: str
    command: str
    runtime: str
    precision: str
    threads: int
    speedup: float
    latency_us: float
    size_bytes: int
    flips: float | None
    file: str

    @property
    def name(self) -> str:
        return f"{self.shape}; {self.form}"

    @property
    def distance(self) -> float:
        """Flips as a number; no rule means nothing can flip."""
        return 0.0 if self.flips is None else self.flips

    def as_data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Point:
        return cls(**data)

    def timed(self, speedup: float, latency_us: float) -> Point:
        """The same point with the figures of another race."""
        return replace(self, speedup=speedup, latency_us=latency_us)


def beats(one: Point, other: Point) -> bool:
    """True where ``one`` is nowhere worse, and somewhere better: speed, size, flips."""
    ours = (-one.speedup, one.size_bytes, one.distance)
    theirs = (-other.speedup, other.size_bytes, other.distance)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs


def front_of(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other one beats, fastest first."""
    kept = [one for one in points if not any(beats(other, one) for other in points)]
    unique = {(one.shape, one.form): one for one in kept}
    return tuple(sorted(unique.values(), key=lambda one: (-one.speedup, one.size_bytes)))


def limit_of(shape: str, settings: Settings) -> float:
    """The most flips that a network may be expected to have, 0..1."""
    return settings.flips_allowed * (SAFETY if shape == DENSE.name else SAFETY_TAUGHT)


def allowed(point: Point, settings: Settings) -> bool:
    """Whether a point may be expected to stay within the budget on bars not seen yet."""
    return point.distance <= limit_of(point.shape, settings)


def best_of(points: Sequence[Point], settings: Settings) -> Point:
    """The one to ship: within the budget the fastest or smallest, else the one that flips least.

    Among those that a race cannot tell from the fastest, fewer threads come first, then
    fewer flips, then fewer bytes. The order of ``points`` does not matter.
    """
    good = [one for one in points if allowed(one, settings)]
    if not good:
        return min(points, key=lambda one: (one.distance, -one.speedup, one.name))
    return quickest(good) if settings.minimize == "latency" else smallest(good)


def quickest(points: Sequence[Point]) -> Point:
    most = max(one.speedup for one in points)
    ties = [one for one in points if one.speedup * TIE >= most]
    # A tenth of a per cent of flips is less than the choosing windows can tell apart.
    return min(
        ties, key=lambda one: (one.threads, round(one.distance, 3), one.size_bytes, one.name)
    )


def smallest(points: Sequence[Point]) -> Point:
    least = min(one.size_bytes for one in points)
    ties = [one for one in points if one.size_bytes <= least * 1.01]
    return min(ties, key=lambda one: (one.threads, -one.speedup, one.distance, one.name))


def measure_of(point: Point, minimize: Minimize) -> float:
    """The objective; smaller is better."""
    return point.latency_us if minimize == "latency" else float(point.size_bytes)
