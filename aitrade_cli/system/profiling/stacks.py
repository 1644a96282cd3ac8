"""Samples of an outside profiler: what stood on the stack, and for how long."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from aitrade_cli.system.profiling.hooks.recorder import HERE, is_user_file

IMPORTING: Final = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
MAIN: Final = '"MainThread"'
# Where the innermost frame stands while a process only waits for another.
WAITING: Final = (
    ("selectors.py", "select"), ("connection.py", "poll"), ("connection.py", "wait"),
    ("connection.py", "_recv"), ("popen_fork.py", "poll"), ("threading.py", "wait"),
    ("queues.py", "get"),
)  # fmt: skip


class Frame(NamedTuple):
    """One function on a stack, at the line it had reached."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """Seconds by stack, root first.

    Attributes:
        main: of the main thread of the program itself, waiting included.
        others: of its other threads and of the processes it started.
    """

    main: Mapping[tuple[Frame, ...], float]
    others: Mapping[tuple[Frame, ...], float]

    @property
    def seconds(self) -> float:
        """What the main thread was watched for."""
        return sum(self.main.values(), 0.0)


@dataclass(frozen=True, slots=True)
class LineTime:
    """Seconds at one line of the user's code."""

    file: str
    line: int
    function: str
    seconds: float  # with all it called
    own_seconds: float  # while nothing that it called was on the stack


def read_speedscope(path: Path, pid: int) -> Stacks:
    """Read what py-spy wrote.

    Args:
        path: a speedscope file of sampled profiles.
        pid: the process whose main thread stands for the program.

    Raises:
        ValueError: the file is no speedscope file.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    try:
        frames = [Frame(row["file"] or "", row["line"] or 0, row["name"])
                  for row in data["shared"]["frames"]]  # fmt: skip
        main: defaultdict[tuple[Frame, ...], float] = defaultdict(float)
        others: defaultdict[tuple[Frame, ...], float] = defaultdict(float)
        for profile in data["profiles"]:
            into = main if of_program(profile["name"], pid) else others
            add_profile(into, profile, frames)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"`{path}` is no speedscope file") from error
    return Stacks(dict(main), dict(others))


def of_program(name: str, pid: int) -> bool:
    # A program that never imported `threading` has no thread names, only numbers.
    told = re.match(r"(?:Process (\d+) )?Thread (\w+)", name)
    if told is None:
        return MAIN in name
    process, thread = told.groups()
    if process is not None and int(process) != pid:
        return False
    return MAIN in name or int(thread, 0) == pid


def add_profile(
    into: defaultdict[tuple[Frame, ...], float], profile: Mapping[str, Any], frames: list[Frame]
) -> None:
    for stack, weight in zip(profile["samples"], profile["weights"], strict=True):
        found = [frames[at] for at in stack]
        if not before_or_after(found):
            into[cleaned(found)] += weight


def before_or_after(frames: Sequence[Frame]) -> bool:
    """Whether the watcher itself worked, setting up or writing down, and not the program."""
    ours = [one.function for one in frames if one.file.startswith(HERE)]
    return bool(ours) and "execute" not in ours


def cleaned(frames: Iterable[Frame]) -> tuple[Frame, ...]:
    """Without the watcher's own frames and those that stand for a process."""
    return tuple(one for one in frames if one.file and not one.file.startswith(HERE))


def importing(stack: tuple[Frame, ...]) -> bool:
    """Whether the stack stands inside an import."""
    return any(one.file in IMPORTING for one in stack)


def waits(stack: tuple[Frame, ...]) -> bool:
    """Whether its innermost frame only waits for another process."""
    if not stack:
        return True
    leaf = stack[-1]
    return any(leaf.file.endswith(file) and leaf.function == name for file, name in WAITING)


def lines_of(stacks: Mapping[tuple[Frame, ...], float]) -> list[LineTime]:
    """Seconds by the innermost line of the user's code, most first; imports left out."""
    total: defaultdict[Frame, float] = defaultdict(float)
    own: defaultdict[Frame, float] = defaultdict(float)
    for stack, seconds in stacks.items():
        if importing(stack) or waits(stack):
            continue
        at = next((one for one in reversed(stack) if is_user_file(one.file)), None)
        if at is not None:
            total[at] += seconds
            if at is stack[-1]:
                own[at] += seconds
    return [
        LineTime(frame.file, frame.line, frame.function, seconds, own[frame])
        for frame, seconds in sorted(total.items(), key=lambda pair: -pair[1])
    ]


def collapsed(stacks: Mapping[tuple[Frame, ...], float]) -> dict[tuple[str, ...], float]:
    """The same by names that a flamegraph shows; how Python imports is left out of it."""
    named: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for stack, seconds in stacks.items():
        named[tuple(label(one) for one in stack if one.file not in IMPORTING)] += seconds
    return dict(named)


def label(frame: Frame) -> str:
    """`function (file:line)`; a package's first file by the name of the package."""
    path = Path(frame.file)
    name = f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name
    return f"{frame.function} ({name}:{frame.line})"
