"""The page of all settings that `tune-system` knows, written from its table."""

from __future__ import annotations

from collections.abc import Iterator

from aitrade_cli.system.tuning.settings import SETTINGS
from aitrade_cli.system.tuning.settings.kinds import PURPOSES, Setting

INTRO = (
    "# Settings of `tune-system`\n\nWhat is looked at, in the order of its rows. `--only` and "
    "`--skip` take an id, its start, a class or a row. Proven and hygiene are applied, situational "
    "for the purposes "
    "named or where a measurement asks, cargo cult never. *Values* are the only ones that are ever "
    "written; where there are none, nothing is written.\n\n"
    "```console\n$ aitrade tune-system --only vm.swappiness,thp\n```\n\n"
)


def settings_rows() -> Iterator[tuple[str, ...]]:
    """A row for each setting."""
    for one in SETTINGS:
        yield (
            str(one.row),
            f"`{one.id}`",
            one.what,
            one.verdict,
            f"{one.rule_text}{purposes(one)}",
            one.worth,
            one.risk,
            "" if one.allowed is None else str(one.allowed),
            "yes" if one.needs_root else "no",
            f"[source]({one.source})",
        )


def purposes(setting: Setting) -> str:
    if setting.verdict != "situational" or setting.purposes == PURPOSES:
        return ""
    return f" (asked by: {', '.join(setting.purposes) or 'a measurement'})"


COLUMNS = ("row", "id", "what", "class", "rule", "worth", "risk", "values", "root", "")
