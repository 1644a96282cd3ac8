"""What a recipe lets a search vary, and what no trial could be told apart by."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.model import factory
from aitrade_cli.model.architectures import ARCHITECTURES, UnknownArchitecture
from aitrade_cli.passes.train.recipe_file import (
    NETWORK,
    SEARCH,
    USUAL_VALUES,
    BadRecipe,
    checked,
    read_recipe,
)
from aitrade_cli.search.objectives import Goal
from aitrade_cli.search.space import Choice, Space, space_of
from aitrade_cli.training.students import CONFIGS

SIZE: Final = "size"  # a key that only a search has: one width that sets a network's all
USUAL_SPACE: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "training.weight_decay": {"low": 1e-4, "high": 0.3, "log": True},
        "training.batch": [32, 64, 128, 256],
    }
)
USUAL_SIZES: Final[Mapping[str, Any]] = MappingProxyType(
    {SIZE: {"low": 16, "high": 128, "log": True}}
)

JUDGED: Final = "trials are compared on the same bars and costs"
UNUSED: Final = "a trial is trained the same whatever it says"
ALONE: Final = "a trial starts from fresh weights, in one process"
# By the key, or by its section.
FIXED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("data", "symbol", "costs"), JUDGED),
        # With fewer test rows, one trial is judged by bars that are another's unseen test.
        **dict.fromkeys(("split.test_rows", "split.validation_share"), JUDGED),
        **dict.fromkeys(
            ("split.folds", "training.workers", "spread", "checkpoint", "report"), UNUSED
        ),
        **dict.fromkeys(("training.lora", "training.hogwild"), ALONE),
    }
)
LABELS: Final = frozenset(
    f"split.{name}" for name in ("horizon", "lookback", "volatility_bars", "flat_share")
)
OF_LABELS: Final = frozenset(("loss", "accuracy"))  # figures that count right answers


class CannotVary(BadInput):
    """A key of `[search]` that makes no trial better or worse than another."""

    default_hint = "leave it out of `[search]`; it keeps the value that the recipe gives it"


def read_searched(path: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """What a recipe sets, and its ``[search]`` table.

    Raises:
        BadRecipe: no TOML, a key or value that is none, or nothing that trials could be made of.
    """
    values = read_recipe(path)
    table = tomllib.loads(path.read_text(encoding="utf-8")).get(SEARCH, {})
    if not isinstance(table, dict):
        raise BadRecipe(f"`{path.name}`: `{SEARCH}` is no table", hint="write `[search]`")
    if not values.get("data"):
        raise BadRecipe(f"`{path.name}` names no bars", hint='write `data = "BARS"` at its top')
    for name in ("training.lora", "training.hogwild"):
        if values.get(name):
            raise BadRecipe(
                f"`{path.name}`: `{name}` cannot be searched with: {ALONE}",
                hint="leave it out, and add it to the best recipe",
            )
    return values, table


def space_for(values: Mapping[str, Any], table: Mapping[str, Any]) -> Space:
    """What varies: what the recipe says, else rate, decay, batch and size of the network.

    Raises:
        BadRecipe: a value at the edge of a range that no recipe may hold.
        BadSpace: a range that is none.
        CannotVary: a key that makes no trial better, undoes another, or shows the test part.
        UnknownArchitecture: a name that is none.
    """
    usual = dict(USUAL_SPACE)
    own = any(name.startswith(f"{NETWORK}.") for name in values)
    if values.get("arch", USUAL_VALUES["arch"]) in CONFIGS and not own:
        usual |= USUAL_SIZES
    space = space_of(table or usual, fitting)
    refuse_size(space, archs_of(values, space))
    refuse_seen_test(values, space)
    return space


def fitting(name: str, value: Any) -> Any:  # noqa: ANN401 -- any TOML value
    """A value at the edge of a range or in a list, as the recipe would hold it."""
    if name == SIZE:
        if type(value) is not int or value < 1:
            raise BadRecipe(f"`[search]`: `{SIZE}` is `{value!r}`, wanted whole numbers")
        return value
    found = checked({name: value}, "`[search]`")[name]
    why = FIXED.get(name) or FIXED.get(name.partition(".")[0])
    if why is not None:
        raise CannotVary(f"`[search]`: `{name}` cannot vary: {why}")
    return found


def archs_of(values: Mapping[str, Any], space: Space) -> Sequence[str]:
    """Every architecture that a trial may have.

    Raises:
        UnknownArchitecture: no built-in has that name, and it is no `module:factory`.
    """
    varied = [
        part.values for part in space.parts if part.name == "arch" and isinstance(part, Choice)
    ]
    archs = [*varied[0]] if varied else [values.get("arch", USUAL_VALUES["arch"])]
    for one in archs:
        arch = factory.named(one)
        if not arch.foreign and arch.name not in ARCHITECTURES:
            raise UnknownArchitecture(arch.name)
    return archs


def refuse_size(space: Space, archs: Sequence[str]) -> None:
    """A size is the width of a built-in network, and sets everything that such a network has.

    Raises:
        CannotVary: one varies where another network may come, or beside what it sets.
    """
    names = [part.name for part in space.parts]
    if SIZE not in names:
        return
    for one in archs:
        if one not in CONFIGS:
            raise CannotVary(
                f"`[search]`: `{SIZE}` cannot vary: `{one}` has no widths that follow from one",
                hint=f"vary its own settings as `network.NAME`; it goes with {', '.join(CONFIGS)}",
            )
    for name in names:
        if name.startswith(f"{NETWORK}."):
            raise CannotVary(
                f"`[search]`: `{name}` cannot vary beside `{SIZE}`, which sets it",
                hint="leave one of the two out",
            )


def refuse_seen_test(values: Mapping[str, Any], space: Space) -> None:
    """A longer horizon moves the test part back; another trial must not be judged by those bars.

    Raises:
        CannotVary: windows and embargo leave fewer bars free than horizons differ by.
    """
    least, most = edges_of(values, space, "split.horizon")
    window, _ = edges_of(values, space, "split.window")
    embargo, _ = edges_of(values, space, "split.embargo")
    free = window - 1 + embargo
    if most - least > free:
        raise CannotVary(
            f"`[search]`: `split.horizon` from {least} to {most} would judge trials by bars of"
            " others' unseen test part",
            hint=f"horizons {free} apart at the most, or a larger `split.embargo`",
        )


def edges_of(values: Mapping[str, Any], space: Space, name: str) -> tuple[int, int]:
    """The least and the most that a trial may have of a whole number."""
    for part in space.parts:
        if part.name == name:
            found = part.values if isinstance(part, Choice) else (part.low, part.high)
            return int(min(found)), int(max(found))
    own = values.get(name, USUAL_VALUES[name])
    return own, own


def refuse_other_labels(space: Space, goals: Sequence[Goal]) -> None:
    """Losses on different labels answer different questions, and the dullest one wins.

    Raises:
        CannotVary: what a label is varies, and a goal counts how many are met.
    """
    varied = [part.name for part in space.parts if part.name in LABELS]
    counted = [goal.figure for goal in goals if goal.figure in OF_LABELS]
    if varied and counted:
        raise CannotVary(
            f"`[search]`: `{varied[0]}` cannot vary in a search for {counted[0]}: each trial"
            " would have labels of its own",
            hint="search for what trades earn: `--maximize sharpe`",
        )
