"""The bars a pass learns from and is judged on: the user's, else those inside the artefact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import prepare
from aitrade_cli.market.split import sample_of
from aitrade_cli.model.card import Card, Sample


class NoPreprocessing(BadInput):
    """Bars were given, but the artefact does not say how bars become its input."""

    default_hint = "wrap the model with PREPROCESSING beside its factory: `aitrade inspect --wrap`"

    def __init__(self) -> None:
        super().__init__("`--data` cannot be used: the artefact records no preprocessing")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sample and where it is from.

    Attributes:
        sample: `None` where neither bars nor a sample inside the artefact are there.
        note: one sentence for the report.
        seen_in_training: the bars judged on lie inside the training span.
    """

    sample: Sample | None
    note: str
    seen_in_training: bool = False


def gather(card: Card, data: str | None, symbol: str | None) -> Evidence:
    """Choose the bars: ``data`` where it was given, else the sample inside the artefact.

    Raises:
        NoPreprocessing: ``data`` was given and the card cannot turn bars into windows.
        BadInput: the bars cannot be read or are too few.
    """
    if data is None:
        if card.sample is None:
            return Evidence(None, "no sample inside the artefact and no `--data`")
        return Evidence(card.sample, "the sample inside the artefact")
    if card.preprocessing is None:
        raise NoPreprocessing
    bars = read_bars(data, symbol)
    series = prepare(bars, card.preprocessing)
    choice = sample_of(
        series,
        card.preprocessing.window,
        card.trained_until_ns,
        bars.symbol,
        bars.source_sha256,
    )
    return Evidence(choice.sample, choice.note, choice.seen_in_training)


def calibration_windows(sample: Sample, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows to calibrate on, and later ones to choose between candidates on.

    Both lie before the evaluation rows; a window of the one shares no row with the other.
    Halves, but for the windows that lie across the middle; where windows are so long that
    these would take most of the first half, a quarter of the rest. Where nothing is left to
    calibrate on, every window is one to choose on.

    Returns:
        Two zero-copy arrays ``[n, length, feature]``, the earlier one first.
    """
    windows = sample.calibration.windows(length)
    apart = len(windows) - (length - 1)  # those that the two have between them
    count = max(len(windows) // 2 - length + 1, apart // 4, 0)
    return windows[:count], windows[count + length - 1 if count else 0 :]
