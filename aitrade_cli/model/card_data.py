"""A card as plain data and back: the one form that `.pt` and ONNX files share. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Literal, TypeVar

import numpy as np
import zstandard

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import (
    Arch,
    Card,
    Decision,
    Preprocessing,
    RunsOn,
    Sample,
    Step,
    TensorSpec,
)
from aitrade_cli.model.series import Series

T = TypeVar("T")
ZSTD_LEVEL: Final = 12
ROWS_MAX: Final = 50_000_000
FEATURES_MAX: Final = 100_000
SAMPLE_BYTES_MAX: Final = 1 << 31
PRECISIONS: Final = ("float32", "bfloat16")
THREADS_MAX: Final = 1024


class BadCard(BadInput):
    """A part of the artefact's own description is missing or has the wrong type."""

    default_hint = "the file was damaged or made by another program; rebuild it from its parent"


def card_to_dict(card: Card) -> dict[str, Any]:
    """Plain data only: what `torch.load(weights_only=True)` and JSON both accept.

    The sample's arrays are zstd-compressed bytes.
    """
    # Absent where nothing was chosen, so that a file written before there was a choice keeps its
    # bytes.
    chosen = {} if card.runs_on is None else {"runs_on": runs_on_to_dict(card.runs_on)}
    return {
        **chosen,
        "arch": None if card.arch is None else asdict(card.arch),
        "inputs": [spec_to_dict(spec) for spec in card.inputs],
        "outputs": [spec_to_dict(spec) for spec in card.outputs],
        "preprocessing": None if card.preprocessing is None else as_lists(card.preprocessing),
        "decision": None if card.decision is None else as_lists(card.decision),
        "sample": None if card.sample is None else sample_to_dict(card.sample),
        "history": [asdict(step) for step in card.history],
        "trained_until_ns": card.trained_until_ns,
    }


def card_from_dict(data: Mapping[str, Any]) -> Card:
    """Rebuild a card, checking every part.

    Raises:
        BadCard: a key is missing, or a value has the wrong type or size; it is named.
    """
    return Card(
        arch=optional(data, "arch", arch_from_dict),
        inputs=specs_from_list(data, "inputs"),
        outputs=specs_from_list(data, "outputs"),
        preprocessing=optional(data, "preprocessing", preprocessing_from_dict),
        decision=optional(data, "decision", decision_from_dict),
        sample=optional(data, "sample", sample_from_dict),
        history=tuple(step_from_dict(step) for step in want(data, "history", list)),
        trained_until_ns=optional_int(data, "trained_until_ns"),
        runs_on=optional(data, "runs_on", runs_on_from_dict),
    )


def want(data: Any, key: str, kind: type[T]) -> T:  # noqa: ANN401 -- data from a file
    """The value under ``key``, or a BadCard that names it."""
    if not isinstance(data, Mapping):
        raise BadCard(f"a table is wanted around `{key}`, found {type(data).__name__}")
    if key not in data:
        raise BadCard(f"the artefact lacks `{key}`")
    found = data[key]
    whole = kind is float and isinstance(found, int) and not isinstance(found, bool)
    value: Any = float(found) if whole else found
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadCard(f"`{key}` is {type(value).__name__}, wanted {kind.__name__}")
    return value


def optional(data: Mapping[str, Any], key: str, read: Any) -> Any:  # noqa: ANN401
    return None if data.get(key) is None else read(want(data, key, Mapping))  # type: ignore[type-abstract]


def optional_int(data: Mapping[str, Any], key: str) -> int | None:
    return None if data.get(key) is None else want(data, key, int)


def as_lists(part: Preprocessing | Decision) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(part).items()}


def spec_to_dict(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}


def specs_from_list(data: Mapping[str, Any], key: str) -> tuple[TensorSpec, ...]:
    return tuple(spec_from_dict(item) for item in want(data, key, list))


def spec_from_dict(data: Any) -> TensorSpec:  # noqa: ANN401
    shape = want(data, "shape", list)
    for axis in shape:
        if isinstance(axis, bool) or not isinstance(axis, int | str):
            raise BadCard(f"an axis is {axis!r}, wanted a number or a name")
    return TensorSpec(want(data, "name", str), tuple(shape), want(data, "dtype", str))


def arch_from_dict(data: Mapping[str, Any]) -> Arch:
    return Arch(want(data, "name", str), dict(want(data, "config", Mapping)))  # type: ignore[type-abstract]


def floats(data: Mapping[str, Any], key: str) -> tuple[float, ...]:
    values = want(data, key, list)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise BadCard(f"`{key}` holds something that is not a number")
    return tuple(float(v) for v in values)


def preprocessing_from_dict(data: Mapping[str, Any]) -> Preprocessing:
    names = want(data, "features", list)
    if not all(isinstance(name, str) for name in names):
        raise BadCard("`features` holds something that is not a name")
    mean, std, window = floats(data, "mean"), floats(data, "std"), want(data, "window", int)
    if not len(names) == len(mean) == len(std):
        raise BadCard(f"{len(names)} features, {len(mean)} means and {len(std)} deviations")
    if window < 1:
        raise BadCard(f"`window` is {window}, wanted at least 1")
    return Preprocessing(tuple(names), window, mean, std, want(data, "clip", float))


def decision_from_dict(data: Mapping[str, Any]) -> Decision:
    kind = decision_kind(want(data, "kind", str))
    positions = floats(data, "positions")
    if not positions or not all(-1.0 <= position <= 1.0 for position in positions):
        raise BadCard(f"`positions` is {list(positions)}, wanted numbers in [-1, 1]")
    return Decision(kind, positions, want(data, "threshold", float))


def decision_kind(word: str) -> Literal["argmax", "threshold"]:
    if word == "argmax" or word == "threshold":  # noqa: PLR1714 -- narrows the type
        return word
    raise BadCard(f"the decision rule `{word}` is unknown; there are `argmax` and `threshold`")


def runs_on_to_dict(wish: RunsOn) -> dict[str, Any]:
    return {**asdict(wish), "instructions": list(wish.instructions)}


def runs_on_from_dict(data: Mapping[str, Any]) -> RunsOn:
    runtime, threads = want(data, "runtime", str), want(data, "threads", int)
    precision = want(data, "precision", str)
    if not runtime.isidentifier():
        raise BadCard(f"`runtime` is {runtime!r:.40}, wanted a name")
    if not 1 <= threads <= THREADS_MAX:
        raise BadCard(f"`threads` is {threads}, wanted 1 to {THREADS_MAX}")
    if precision not in PRECISIONS:
        raise BadCard(f"`precision` is {precision!r:.40}, wanted {' or '.join(PRECISIONS)}")
    instructions = want(data, "instructions", list) if "instructions" in data else []
    if not all(isinstance(one, str) for one in instructions):
        raise BadCard("`instructions` holds something that is not a name")
    return RunsOn(runtime, threads, precision, tuple(instructions))


def step_from_dict(data: Any) -> Step:  # noqa: ANN401
    parent = data.get("parent_sha256") if isinstance(data, Mapping) else None
    return Step(
        want(data, "command", str),
        dict(want(data, "settings", Mapping)),  # type: ignore[type-abstract]
        dict(want(data, "measurements", Mapping)),  # type: ignore[type-abstract]
        dict(want(data, "versions", Mapping)),  # type: ignore[type-abstract]
        None if parent is None else want(data, "parent_sha256", str),
    )


def sample_to_dict(sample: Sample) -> dict[str, Any]:
    series = sample.series
    return {
        "rows": len(series),
        "columns": series.features.shape[1],
        "calibration_rows": sample.calibration_rows,
        "evaluation_row": sample.evaluation_row,
        "symbol": sample.symbol,
        "source_sha256": sample.source_sha256,
        "timestamp_ns": pack(np.diff(series.timestamp_ns, prepend=0), "<i8"),
        "open_price": pack(series.open_price, "<f8"),
        "close_price": pack(series.close_price, "<f8"),
        "features": pack(series.features, "<f4"),
    }


def sample_from_dict(data: Mapping[str, Any]) -> Sample:
    rows, columns = want(data, "rows", int), want(data, "columns", int)
    if not (0 < rows <= ROWS_MAX and 0 < columns <= FEATURES_MAX):
        raise BadCard(f"a sample of {rows} rows and {columns} features is not possible")
    calibration, evaluation = want(data, "calibration_rows", int), want(data, "evaluation_row", int)
    if not 0 <= calibration <= evaluation <= rows:
        raise BadCard(f"sample rows {calibration}, {evaluation}, {rows} are not in order")
    series = Series(
        np.cumsum(unpack(data, "timestamp_ns", "<i8", rows)),
        unpack(data, "open_price", "<f8", rows),
        unpack(data, "close_price", "<f8", rows),
        unpack(data, "features", "<f4", rows * columns).reshape(rows, columns),
    )
    if not all(np.isfinite(part).all() for part in (series.open_price, series.features)):
        raise BadCard("the sample holds a number that is not finite")
    return Sample(
        series, calibration, evaluation, want(data, "symbol", str), want(data, "source_sha256", str)
    )


def pack(array: np.ndarray, dtype: str) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(
        np.ascontiguousarray(array, dtype=dtype).tobytes()
    )


def unpack(data: Mapping[str, Any], key: str, dtype: str, count: int) -> np.ndarray:
    size = count * np.dtype(dtype).itemsize
    if size > SAMPLE_BYTES_MAX:
        raise BadCard(f"`{key}` would take {size} bytes")
    packed = want(data, key, bytes)
    try:
        # The frame's own claim is not trusted: never write more than the card allows.
        with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            raw = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise BadCard(f"`{key}` of the sample is damaged: {error}") from error
    if len(raw) != size:
        raise BadCard(f"`{key}` of the sample has the wrong length")
    return np.frombuffer(raw, dtype=dtype).astype(np.dtype(dtype).newbyteorder("="), copy=True)
