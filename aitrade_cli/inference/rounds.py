"""Every variant in its own live process, one turn each a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from aitrade_cli.files import sha256
from aitrade_cli.inference.processes import VariantFailed, Worker
from aitrade_cli.inference.variants import Effort, Patience, Variant

CALLS_MAX_A_ROUND: Final = 5_000
ROUNDS_MIN: Final = 6  # with fewer, the interval of a median is the whole range or more
WARM_SECONDS: Final = 0.002  # refills the caches that the variants before have emptied
WARM_CALLS_MAX: Final = 20
COLD_CALL_SECONDS: Final = 0.05  # a call this long warms itself


@runtime_checkable
class Station(Protocol):
    """What a worker offers; tests put a simulated one in its place."""

    cpu_seconds: float

    def send(self, request: Mapping[str, Any]) -> None: ...
    def receive(self, *, seconds: float) -> dict[str, Any]: ...
    def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]: ...
    def close(self, *, gently: bool = True) -> None: ...


Launch = Callable[[Variant], Station]
Say = Callable[[str], None]


def launch_worker(variant: Variant) -> Station:
    """Start a process for one variant."""
    return Worker(variant.name, threads=variant.threads)


@dataclass(slots=True)
class Arm:
    """One variant and the process that runs it."""

    variant: Variant
    station: Station
    opened: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heat:
    """What one arm did at one batch size: nanoseconds of every call, by round."""

    arm: Arm
    calls_ns: Float64[np.ndarray, "round call"]
    first_ns: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch size is measured: as many rounds for all, calls in a turn by speed."""

    rounds: int
    turns: Mapping[str, Mapping[str, int]]  # per variant: calls, and warm calls before them
    seconds: float  # what it should take altogether


class Race:
    """Workers that are open side by side. In a ``with``: the end ends every one of them."""

    def __init__(self, folder: Path, launch: Launch, patience: Patience) -> None:
        self.folder = folder
        self.launch = launch
        self.patience = patience
        self.arms: list[Arm] = []
        self.failed: list[VariantFailed] = []
        self._stack = ExitStack()

    def __enter__(self) -> Race:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def open(self, variants: Sequence[Variant], settings: Mapping[str, Any]) -> None:
        """Start all variants side by side; those that cannot start are noted in ``failed``."""
        waiting: list[Arm] = []
        for variant in variants:
            try:
                arm = Arm(variant, self.launch(variant))
                self._stack.callback(arm.station.close, gently=False)
                arm.station.send(self._open_request(variant, settings))
                waiting.append(arm)
            except VariantFailed as error:
                self.failed.append(error)
        for arm in waiting:
            try:
                arm.opened = arm.station.receive(seconds=self.patience.open)
                self.arms.append(arm)
            except VariantFailed as error:
                self.drop(arm, error)

    def _open_request(self, variant: Variant, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "do": "open",
            "path": str(self._file_of(variant)),
            "name": variant.name,
            "runtime": variant.runtime,
            "threads": variant.threads,
            "arch": variant.arch,
            "trust_pickle": variant.trust_pickle,
            "trust_native": variant.trust_native,
            **settings,
        }

    def _file_of(self, variant: Variant) -> Path:
        if isinstance(variant.artefact, Path):
            return variant.artefact.resolve()
        # Variants that run the same bytes share the file.
        path = self.folder / sha256(variant.artefact)
        if not path.exists():
            path.write_bytes(variant.artefact)
        return path

    def drop(self, arm: Arm, error: VariantFailed) -> None:
        """Go on without a variant, keeping what it failed of."""
        self.failed.append(error)
        self.arms = [other for other in self.arms if other is not arm]
        arm.station.close(gently=False)

    def cpu_seconds(self) -> float:
        """CPU time that the workers had used when each answered last."""
        return sum(arm.station.cpu_seconds for arm in self.arms)

    def heat(self, batch: int, effort: Effort, rng: np.random.Generator, say: Say) -> list[Heat]:
        """Measure all arms at one batch size, in rounds of a new order each."""
        say(f"batch {batch}: warming {len(self.arms)} processes up")
        tried = self._try(batch, effort)
        plan = plan_of({name: answer["call_ns"] / 1e9 for name, answer in tried.items()}, effort)
        say(f"batch {batch}: {plan.rounds} rounds, about {plan.seconds:.0f} s")
        times: dict[str, list[list[int]]] = {name: [] for name in tried}
        for _ in range(plan.rounds):
            for arm in [self.arms[at] for at in rng.permutation(len(self.arms)).tolist()]:
                name = arm.variant.name
                request = {"do": "run", "batch": batch, **plan.turns[name]}
                answer = self._ask(arm, request, self.patience.run + 20 * plan.seconds, batch)
                times[name].append(answer.get("ns", []))
        heats = []
        for arm in list(self.arms):
            peak = self._ask(arm, {"do": "memory"}, self.patience.run, batch)
            if peak:
                calls = np.array(times[arm.variant.name], dtype=np.float64)
                first = tried[arm.variant.name]["first_ns"]
                heats.append(Heat(arm, calls, first, peak["peak_bytes"]))
        return heats

    def _try(self, batch: int, effort: Effort) -> dict[str, dict[str, Any]]:
        """Warm every arm up on its own, and learn how long a call takes."""
        request = {"do": "try", "batch": batch, "seconds": min(0.25, effort.seconds / 6)}
        answers = {
            arm.variant.name: self._ask(arm, request, self.patience.first_call, batch)
            for arm in list(self.arms)
        }
        return {name: answer for name, answer in answers.items() if answer}

    def _ask(
        self, arm: Arm, request: Mapping[str, Any], seconds: float, batch: int
    ) -> dict[str, Any]:
        """The answer; empty where the arm failed and was dropped."""
        try:
            return arm.station.ask(request, seconds=seconds)
        except VariantFailed as error:
            self.drop(arm, error.while_doing(f"at batch {batch}"))
            return {}


def plan_of(call_seconds: Mapping[str, float], effort: Effort) -> Plan:
    """Share the time out: equal rounds for all, and each arm as many calls as fit its turn.

    Args:
        call_seconds: what one call of each arm takes, > 0.
        effort: what to aim for.
    """
    rounds = rounds_of(max(call_seconds.values(), default=0.0), effort)
    turns = {
        name: {"warm": warm_calls(call), "calls": calls_of(call, effort, rounds)}
        for name, call in call_seconds.items()
    }
    one_round = sum(sum(turns[name].values()) * call for name, call in call_seconds.items())
    return Plan(rounds, turns, rounds * one_round)


def rounds_of(slowest_call: float, effort: Effort) -> int:
    if effort.runs is not None:
        return min(effort.rounds, effort.runs)
    fitting = int(effort.seconds / max(slowest_call, 1e-9))
    return min(effort.rounds, max(ROUNDS_MIN, fitting))


def calls_of(call: float, effort: Effort, rounds: int) -> int:
    """How many calls one turn holds, at least one."""
    if effort.runs is not None:
        return -(-effort.runs // rounds)
    return max(1, min(CALLS_MAX_A_ROUND, int(effort.seconds / rounds / max(call, 1e-9))))


def warm_calls(call: float) -> int:
    if call >= COLD_CALL_SECONDS:
        return 0
    return max(1, min(WARM_CALLS_MAX, round(WARM_SECONDS / max(call, 1e-9))))
