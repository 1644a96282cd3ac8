"""What a command that trained a model owes to the next one: what was seen, and on which bars."""

from __future__ import annotations

from dataclasses import replace

from aitrade_cli.model.card import Card, Sample
from aitrade_cli.passes.sample import Evidence
from aitrade_cli.training.material import Material


def taught_card(card: Card, material: Material, evidence: Evidence) -> Card:
    """The card of a model that was trained on this material.

    What was seen only grows, and the sample inside judges on none of it.

    Args:
        card: before the training.
        material: what was trained on.
        evidence: the bars that the result is judged on.
    """
    known, until = card.trained_until_ns, material.trained_until_ns
    if known is not None and until <= known:  # nothing new was seen
        return card if card.sample is not None else replace(card, sample=evidence.sample)
    # A model whose span was not known keeps its own sample where that still is unseen.
    both = (card.sample, evidence.sample) if known is None else (evidence.sample, card.sample)
    unseen = (one for one in both if one is not None and is_after(one, until))
    return replace(card, trained_until_ns=until, sample=next(unseen, None))


def is_after(sample: Sample, until_ns: int) -> bool:
    """Whether no bar that it judges on was seen."""
    return int(sample.evaluation.timestamp_ns[0]) > until_ns


def taught_on(material: Material, data_path: str | None) -> dict[str, str | None]:
    """What the history says of the bars, for `training.history.bars_of` to find them again.

    Args:
        material: what was trained on.
        data_path: the file that was named; None where the history named it.
    """
    return {
        "bars": data_path or material.bars,
        "bars_sha256": material.bars_sha256,
        "symbol": material.symbol,
    }
