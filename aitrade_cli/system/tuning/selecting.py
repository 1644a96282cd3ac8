"""Which settings and which purpose a person named."""

from __future__ import annotations

from collections.abc import Sequence

from aitrade_cli.errors import Usage
from aitrade_cli.system.tuning.settings import SETTINGS
from aitrade_cli.system.tuning.settings.kinds import CLASSES, PURPOSES, Purpose, Setting


class NoSuchSetting(Usage):
    """`--only` or `--skip` names neither a setting nor a class nor a start of names."""


class NoSuchPurpose(Usage):
    """The purpose is none of those that rules know."""


def purpose_named(name: str) -> Purpose:
    """The purpose of that name.

    Raises:
        NoSuchPurpose: there is none.
    """
    for purpose in PURPOSES:
        if purpose == name:
            return purpose
    raise NoSuchPurpose(f"there is no purpose `{name}`", hint=f"one of {', '.join(PURPOSES)}")


def select(only: Sequence[str], skip: Sequence[str]) -> tuple[Setting, ...]:
    """Settings by id, by the start of an id up to a dot, by class or by row number.

    Raises:
        NoSuchSetting: a word matches none.
    """
    for word in (*only, *skip):
        if not any(matches(setting, word) for setting in SETTINGS):
            ids = ", ".join(sorted({setting.id.partition(".")[0] for setting in SETTINGS}))
            raise NoSuchSetting(
                f"there is no setting `{word}`",
                hint=f"a name from the plan, a class ({', '.join(CLASSES)}), or one of {ids}",
            )
    return tuple(
        setting
        for setting in SETTINGS
        if (not only or any(matches(setting, word) for word in only))
        and not any(matches(setting, word) for word in skip)
    )


def matches(setting: Setting, word: str) -> bool:
    return word in {
        setting.id,
        setting.place,
        setting.verdict,
        setting.verdict.replace(" ", "-"),
        str(setting.row),
    } or setting.id.startswith(f"{word}.")
