"""Features of long bars or many instruments, over processes where that is sooner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from aitrade_cli.market.bars import Bars
from aitrade_cli.market.features import FEATURES, check_names, check_rows, normalize
from aitrade_cli.model.card import Preprocessing
from aitrade_cli.model.series import Series
from aitrade_cli.system.parallel import Blank, MapReport, map_ordered

COLUMNS = ("timestamp_ns", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class FeatureRun:
    """One matrix an instrument, as `feature_matrix` has them, and how the work was spread."""

    matrices: tuple[Float64[np.ndarray, "_ feature"], ...]
    report: MapReport


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """One series an instrument, as `prepare` has them, and how the work was spread."""

    series: tuple[Series, ...]
    report: MapReport


class Column(NamedTuple):
    """One feature of one instrument: what a worker computes at a time."""

    start: int  # rows of the instrument among all rows
    stop: int
    place: int  # row of the matrix that it fills
    name: str


def feature_matrices(
    instruments: Sequence[Bars],
    names: Sequence[str],
    *,
    workers: int | None = None,
    probe: bool = True,
) -> FeatureRun:
    """What `feature_matrix` gives for each of them, the same to the last bit.

    Args:
        instruments: in any number and of any length.
        names: features, in the order of the columns.
        workers: processes, >= 1; one for each usable core where not given.
        probe: False starts the workers without asking whether it pays.

    Raises:
        FeatureUnknown: a name is not in ``FEATURES``.
        WorkerLost: a worker was killed.
    """
    check_names(names)
    stops = np.cumsum([len(bars) for bars in instruments], dtype=np.int64).tolist()
    starts = [0, *stops[:-1]]
    items = [
        Column(start, stop, place, name)
        for start, stop in zip(starts, stops, strict=False)
        for place, name in enumerate(names)
    ]
    columns = {
        name: np.concatenate([getattr(bars, name) for bars in instruments])
        for name in COLUMNS
        if instruments
    }
    rows = stops[-1] if stops else 0
    found = map_ordered(
        fill_column,
        items,
        arrays=columns,
        blanks={"features": Blank((len(names), rows), "<f8")},
        workers=workers,
        probe=probe,
    )
    matrix = found.arrays["features"]
    parts = zip(starts, stops, strict=False)
    return FeatureRun(tuple(matrix[:, start:stop].T for start, stop in parts), found.report)


def fill_column(column: Column, arrays: Mapping[str, np.ndarray]) -> None:
    """Compute one feature of one instrument where all can see it."""
    rows = slice(column.start, column.stop)
    bars = Bars(**{name: arrays[name][rows] for name in COLUMNS}, symbol="", source_sha256="")
    arrays["features"][column.place, rows] = FEATURES[column.name](bars)


def prepare_all(
    instruments: Sequence[Bars],
    preprocessing: Preprocessing,
    *,
    workers: int | None = None,
    probe: bool = True,
) -> PreparedRun:
    """What `prepare` gives for each of them; see `feature_matrices`.

    Raises:
        TooFewBars: an instrument has not one window after the warm-up.
        FeatureUnknown: the preprocessing names a feature that is not in ``FEATURES``.
        WorkerLost: a worker was killed.
    """
    for bars in instruments:
        check_rows(bars, preprocessing)
    run = feature_matrices(instruments, preprocessing.features, workers=workers, probe=probe)
    pairs = zip(instruments, run.matrices, strict=True)
    series = tuple(normalize(bars, matrix, preprocessing) for bars, matrix in pairs)
    return PreparedRun(series, run.report)
