"""What a model's history says of its training: which bars, cut and labelled how."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aitrade_cli
from aitrade_cli.errors import BadInput
from aitrade_cli.files import sha256
from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.model.card import Card, Preprocessing
from aitrade_cli.training.labels import Labelling
from aitrade_cli.training.walk import Plan


class NoTrainingBars(BadInput):
    """No bars were named, and those of the history are not here as they were."""

    default_hint = "name the bars: `--data BARS`"


def training_settings(card: Card) -> Mapping[str, Any]:
    """Settings of the last step that trained on bars; empty where there is none."""
    told = [step.settings for step in card.history if isinstance(step.settings.get("plan"), dict)]
    return told[-1] if told else {}


def plan_of(card: Card, preprocessing: Preprocessing) -> Plan:
    """How bars were cut and labelled; defaults where the history does not say.

    Raises:
        BadInput: the history says something that cannot be.
    """
    told = training_settings(card).get("plan", {})
    usual = Plan()
    try:
        labelling = Labelling(**{k: int(v) for k, v in told.get("labelling", {}).items()})
        flat_share = float(told.get("flat_share", usual.flat_share))
        validation_share = float(told.get("validation_share", usual.validation_share))
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"the history's training plan cannot be read: {error}") from error
    if not (0.0 <= flat_share < 1.0 and 0.0 < validation_share <= 0.5):
        raise BadInput(
            f"the history's training plan has flat_share `{flat_share}` and validation_share"
            f" `{validation_share}`, wanted shares below 1 and 0.5"
        )
    return Plan(
        features=preprocessing.features,
        window=preprocessing.window,
        labelling=labelling,
        flat_share=flat_share,
        validation_share=validation_share,
        clip=preprocessing.clip,
    )


def stride_of(card: Card) -> int:
    """Every how many training windows one was used; 1 where the history does not say."""
    told = training_settings(card).get("stride", 1)
    return told if isinstance(told, int) and told >= 1 else 1


def bars_step(card: Card) -> Mapping[str, Any]:
    """Settings of the latest step that says which file of bars it learned from; else empty."""
    for step in reversed(card.history):
        told = step.settings
        if isinstance(told.get("bars"), str) and isinstance(told.get("bars_sha256"), str):
            return told
    return {}


def bars_of(card: Card, symbol: str | None = None) -> Bars:
    """The bars that the history names, where they are here and still the same file.

    Raises:
        NoTrainingBars: the history names none, or no file of that content is found.
    """
    told = bars_step(card)
    if not told:
        raise NoTrainingBars("the history names no bars to train on")
    name, wanted = told["bars"], told["bars_sha256"]
    there = [path for path in places(name) if path.is_file()]
    for path in there:
        if sha256(path.read_bytes()) == wanted:
            return read_bars(path, symbol or told.get("symbol"))
    if there:
        raise NoTrainingBars(f"`{name}` is not the file that the model was trained on")
    raise NoTrainingBars(f"`{name}`, which the model was trained on, is not here")


def places(name: str) -> Iterator[Path]:
    """Where a file named in a history may lie: as named, or below the fixtures.

    Checks find the fixtures by a rule of their own, one floor up from passes; this is the part
    of it that a name in a history needs.
    """
    yield Path(name)
    parts = Path(name).parts
    if parts and parts[0] == "fixtures" and ".." not in parts:
        named = os.environ.get("AITRADE_FIXTURES")
        package = Path(aitrade_cli.__path__[0])
        for folder in (
            *([Path(named)] if named else []),
            package / "fixtures",
            package.parent / "fixtures",
        ):
            yield folder.joinpath(*parts[1:])
