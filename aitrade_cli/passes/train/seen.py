"""What a base model has seen: bars that it learned from judge nothing that is trained from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aitrade_cli.errors import Refused
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.training.walk import FoldExamples

LEAST_TEST_ROWS = 64  # that a recipe takes


class SeenBefore(Refused):
    """The bars that are to judge a network are bars that its base model learned from."""

    default_hint = "newer bars: `--data BARS`"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Folds whose test parts nothing was learned from.

    Attributes:
        earlier: of the earlier folds, those that the base model leaves untouched.
        parts: the last fold.
        until_ns: last bar that was learned from, the base model's included.
        notes: for the report: what was left out, and what is not known.
    """

    earlier: tuple[FoldExamples, ...]
    parts: FoldExamples
    until_ns: int
    notes: tuple[str, ...] = ()


def unseen(base: Artefact | None, folds: Sequence[FoldExamples]) -> Unseen:
    """Leave out the earlier folds whose test part the base model knows.

    Args:
        base: None where training starts fresh.
        folds: in time order; at least one.

    Raises:
        SeenBefore: it knows bars of the last one's test part.
    """
    *earlier, parts = folds
    own = parts.trained_until_ns
    if base is None:
        return Unseen(tuple(earlier), parts, own)
    until = base.card.trained_until_ns
    if until is None:
        note = "what the base model learned from is not known: it may have seen the test part"
        return Unseen(tuple(earlier), parts, own, (note,))
    if until >= first_ns(parts):
        raise SeenBefore(
            f"the base model learned from bars up to {day(until)}, and the test part looks back to"
            f" {day(first_ns(parts))}: it would not be untouched",
            hint=hint_for(parts, until),
        )
    kept = tuple(one for one in earlier if until < first_ns(one))
    notes = []
    if len(kept) < len(earlier):
        notes.append(
            f"{len(earlier) - len(kept)} of {len(earlier)} earlier folds are left out: the base"
            " model learned from their test parts"
        )
    if until >= int(parts.series.timestamp_ns[parts.validation_start]):
        notes.append(
            f"the base model knows bars up to {day(until)}: validation figures are of bars that it"
            " may have learned from"
        )
    return Unseen(kept, parts, max(own, until), tuple(notes))


def first_ns(parts: FoldExamples) -> int:
    """Time of the first bar that a test window looks back to."""
    return int(parts.series.timestamp_ns[parts.fold.test_start - parts.preprocessing.window + 1])


def hint_for(parts: FoldExamples, until_ns: int) -> str:
    """How many test decisions would be untouched, where that are enough."""
    after = int(np.searchsorted(parts.series.timestamp_ns, until_ns, side="right"))
    left = parts.fold.test_stop - (after + parts.preprocessing.window - 1)
    if left < LEAST_TEST_ROWS:
        return SeenBefore.default_hint
    return f"`test_rows = {left}` at the most under `[split]` of a recipe, or newer bars"


def day(timestamp_ns: int) -> str:
    return str(np.datetime64(timestamp_ns, "ns").astype("datetime64[D]"))
