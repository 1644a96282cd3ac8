"""What profiling found, as data; `views.py` lays it out for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Number: TypeAlias = float | int  # JSON makes 1 of 1.0
Confidence: TypeAlias = Literal["high", "medium", "low"]
Resource: TypeAlias = Literal["time", "memory"]
Output: TypeAlias = Literal["the same", "differs", "varies by itself"]
CollectorStatus: TypeAlias = Literal["ran", "skipped", "killed", "failed"]


@dataclass(frozen=True, slots=True)
class Fix:
    """What to change. An advice is a sentence; the other two can be tried."""

    kind: Literal["environment", "source", "advice"]
    text: str  # environment lines, a unified diff, or a sentence
    environment: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None  # that the diff is for
    patched: str = ""  # that file with the diff applied
    caution: str = ""  # what it changes besides the time

    JSON_PROPERTIES = ()

    @property
    def can_be_tried(self) -> bool:
        """Whether a rerun can apply it without touching a file of the user."""
        return self.kind != "advice"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a fix gained when it was run, against the same program unfixed."""

    gain: Number  # times; of wall time, or of peak memory
    gain_low: Number  # the least and the most of the rounds
    gain_high: Number
    same_twice: Number  # the largest ratio between two unfixed runs of one round: the noise
    rounds: int
    chance: Number  # 0..1, that identical programs come out as well; of three rounds 0.037 or more
    confirmed: bool  # better in every round and by more than the noise, or hardly by luck
    inside: bool  # within the predicted interval
    output: Output  # what it prints, fixed beside unfixed
    failed: str = ""  # why the fixed program did not run to its end


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that costs time or memory, and what to do about it."""

    kind: str  # a stable word for scripts
    place: str  # file:line, or `environment`
    share: Number  # of the wall time, 0..1; of the peak where the resource is memory
    what: str  # one sentence
    resource: Resource
    gain_low: Number  # predicted, times
    gain_high: Number
    confidence: Confidence
    fix: Fix
    trial: Trial | None = None

    @property
    def worth(self) -> float:
        """What decides the order: the share that the middle of the prediction would save."""
        middle = (self.gain_low * self.gain_high) ** 0.5
        return 1.0 - 1.0 / middle


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of work that the hooks told apart."""

    name: str
    seconds: Number
    share: Number  # of the wall time
    calls: int


@dataclass(frozen=True, slots=True)
class HotLine:
    """One line of the user's code, with all that it called."""

    place: str
    function: str
    share: Number  # of the main thread's wall time
    own_share: Number  # without what it called


@dataclass(frozen=True, slots=True)
class CollectorLine:
    """One source of evidence: whether it ran, what it cost, what it calls the hottest line."""

    name: str
    status: CollectorStatus
    reason: str = ""
    seconds: Number | None = None  # wall time of the program under it
    hot_line: str | None = None
    share: Number | None = None  # of that line


@dataclass(frozen=True, slots=True)
class HostHealth:
    """What the machine did meanwhile. ``warnings`` say why other numbers may be off."""

    stolen_share: Number | None  # of the cores' time, taken by the hypervisor
    pressure_share: Number | None  # of the time, some task waited for a core
    throttled_share: Number | None  # of the container's periods
    swapped_bytes: int | None  # moved to or from disk meanwhile
    others_cores: Number  # cores' worth of time that other programs took
    cores_usable: int
    warnings: tuple[str, ...] = ()

    JSON_PROPERTIES = ("sick",)

    @property
    def sick(self) -> bool:
        """Whether something took enough to change what is ranked first."""
        return bool(self.warnings)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Resident memory of the program over time."""

    peak_bytes: int
    start_bytes: int  # when the imports were done
    end_bytes: int
    growth_bytes_per_s: Number | None  # over the second half; None where that was too short
    timeline: tuple[tuple[Number, int], ...]  # seconds, bytes; thinned to two hundred points
    minor_faults: int
    by_line: tuple[tuple[str, int], ...] = ()  # memray: the peak by line, largest first


@dataclass(frozen=True, slots=True)
class Against:
    """This profile beside an earlier one."""

    wall_ratio: Number
    peak_memory_ratio: Number | None
    tolerance: Number
    new_findings: tuple[str, ...]
    gone_findings: tuple[str, ...]

    JSON_PROPERTIES = ("worse",)

    @property
    def worse(self) -> bool:
        """Slower or larger than the tolerance allows."""
        limit = 1.0 + self.tolerance
        return self.wall_ratio > limit or (self.peak_memory_ratio or 0.0) > limit


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """Everything one `aitrade profile` saw of a program."""

    target: str
    wall_seconds: Number
    cpu_seconds: Number  # of the program and its finished children
    plain_seconds: Number | None  # the same program unwatched, where it was run so too
    overhead_share: Number | None  # of the plain time; at least, where that is None
    overhead_measured: bool
    findings: tuple[Finding, ...]
    unconfirmed: tuple[Finding, ...]  # tried, and no better than the noise
    phases: tuple[Phase, ...]
    lines: tuple[HotLine, ...]
    memory: MemoryUse | None
    health: HostHealth
    collectors: tuple[CollectorLine, ...]
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    against: Against | None = None
    first_predicted: str | None = None  # the finding that came first before any fix was tried
    untried: tuple[Finding, ...] = ()  # asked to be tried, not decided: the reruns ended early

    JSON_PROPERTIES = ("verdict",)

    @property
    def verdict(self) -> str:
        """The sentence that answers the user's question."""
        if not self.findings and self.untried:
            return "No fix was confirmed: the reruns ended early"
        if not self.findings:
            return "Nothing here is worth changing by what was seen"
        first = self.findings[0]
        gain = f"{first.gain_low:.2f}x to {first.gain_high:.2f}x"
        if first.trial is not None:
            gain = f"measured {first.trial.gain:.2f}x"
        return f"{first.what}: {gain} at {first.place}"
