"""Links between pages lead somewhere, and the index knows every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.shell import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
INDEX = ROOT / "docs/README.md"


def links_of(text: str) -> list[str]:
    """Targets of links to other files; code and addresses elsewhere left out."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


def broken_in(path: Path) -> list[str]:
    links = links_of(path.read_text(encoding="utf-8"))
    return [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    assert broken_in(path) == []


def test_the_index_lists_every_page() -> None:
    listed = {(INDEX.parent / link).resolve() for link in links_of(INDEX.read_text())}
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md") if path != INDEX}
    commands = {path for path in pages if path.parent.name == "commands"}  # listed as a folder
    assert sorted(path.name for path in pages - commands - listed) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("[b](b.md) [c](c.md#part) [web](https://example.org) `[d](d.md)` [here](#part)")
    (tmp_path / "c.md").write_text("")
    assert broken_in(page) == ["b.md"]
