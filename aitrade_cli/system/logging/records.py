"""One log record: taken as it was at the call, told later as a line of text or of JSON."""

from __future__ import annotations

import json
import math
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from aitrade_cli.report.plain import one_line, plain

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
Format: TypeAlias = Literal["text", "json"]
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error", "critical")
FORMATS: Final[tuple[Format, ...]] = ("text", "json")
OURS: Final = frozenset(("time", "level", "logger", "event", "pid", "exception"))
PLAIN: Final = frozenset((str, int, float, bool, type(None)))
CHAIN_MOST: Final = 8  # causes of causes; a cycle must end


@dataclass(frozen=True, slots=True)
class Record:
    """What one call said.

    Attributes:
        time_ns: since 1970 UTC.
        level: how serious.
        logger: the part of the program that said it.
        event: the sentence.
        fields: values by name; nothing in them changes after the call.
        exception: outermost first, as `exception_of` has it.
    """

    time_ns: int
    level: str
    logger: str
    event: str
    fields: Mapping[str, Any]
    exception: tuple[Mapping[str, Any], ...] = ()


def frozen(value: Any) -> Any:  # noqa: ANN401 -- whatever a caller wants to log
    """The value as plain data that nobody else holds: a list may grow before it is written."""
    if type(value) in PLAIN:
        return value
    match value:
        case Mapping():
            return {str(key): frozen(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [frozen(item) for item in value]
    item = getattr(value, "item", None)  # a number of NumPy or torch
    if callable(item) and getattr(value, "size", None) == 1:
        return frozen(item())
    try:
        return str(value)
    except Exception as error:  # a user's `__str__` may raise anything; the record must go out
        return f"<{type(value).__name__}: {type(error).__name__}>"


def exception_of(error: BaseException) -> tuple[Mapping[str, Any], ...]:
    """An exception and what caused it, as plain data. Holds no frame, so nothing stays alive."""
    chain: list[Mapping[str, Any]] = []
    at: BaseException | None = error
    while at is not None and len(chain) < CHAIN_MOST:
        frames = [
            {"file": frame.filename, "line": frame.lineno, "function": frame.name}
            for frame in traceback.extract_tb(at.__traceback__)
        ]
        chain.append({"type": type(at).__name__, "message": frozen(at), "frames": frames})
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return tuple(chain)


def json_line(record: Record) -> str:
    """One JSON object and a line break, in ASCII."""
    said = {
        "time": time_text(record.time_ns),
        "level": record.level,
        "logger": record.logger,
        "event": record.event,
        "pid": os.getpid(),
    }
    for key, value in record.fields.items():  # a field never hides one of ours
        said[f"{key}_" if key in OURS else key] = value
    if record.exception:
        said["exception"] = record.exception
    try:
        return json.dumps(said, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(finite(said), allow_nan=False) + "\n"


def finite(value: Any) -> Any:  # noqa: ANN401
    """The same with NaN and infinities as words; JSON has no such numbers."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {key: finite(item) for key, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
    return value


def text_line(record: Record) -> str:
    """One line for a person; the frames of an exception follow, indented."""
    fields = "".join(f"  {key}={field_text(value)}" for key, value in record.fields.items())
    words = f"{time_text(record.time_ns)} {record.level:<8} {record.logger}: {record.event}{fields}"
    lines = [one_line(words)]
    for depth, error in enumerate(record.exception):
        caused = "caused by " if depth else ""
        lines.append(one_line(f"    {caused}{error['type']}: {error['message']}"))
        lines += [
            plain(f"      {frame['file']}:{frame['line']} in {frame['function']}")
            for frame in error["frames"]
        ]
    return "\n".join(lines) + "\n"


def field_text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value and not set(value) & set(' ="\n\t'):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def time_text(time_ns: int) -> str:
    """UTC with microseconds: ``2026-01-31T12:00:00.000000Z``."""
    second, rest = divmod(time_ns, 10**9)
    day = datetime.fromtimestamp(second, tz=UTC)
    return f"{day:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
