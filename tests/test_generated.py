"""Generated files are what `make generate` would write now."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitrade_cli.catalog import COMMANDS, ROWS
from docs import generate
from docs.failures import failures_in
from docs.options import taken_by
from tests.shell import ROOT, aitrade


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return generate.pages()


def test_nothing_is_out_of_date(made: dict[str, str]) -> None:
    late = generate.stale(made)
    assert late == [], f"run `{generate.COMMAND}`"


def test_writing_twice_gives_the_same(made: dict[str, str]) -> None:
    assert generate.pages() == made


def test_a_changed_a_missing_and_a_left_over_file_are_noticed(tmp_path: Path) -> None:
    made = {"a.md": "one\n", "docs/reference/commands/b.md": "two\n", "c.md": "three\n"}
    generate.write(made, tmp_path)
    assert generate.stale(made, tmp_path) == []
    (tmp_path / "a.md").write_text("edited\n")
    (tmp_path / "c.md").unlink()
    (tmp_path / "docs/reference/commands/gone.md").write_text("of a command that is no more\n")
    assert generate.stale(made, tmp_path) == ["a.md", "c.md", "docs/reference/commands/gone.md"]
    generate.write(made, tmp_path)
    assert generate.stale(made, tmp_path) == []


def test_check_names_the_file_and_the_command_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "pages", lambda: {"README.md": "not what is there"})
    monkeypatch.setattr(generate, "stale", list)
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "README.md is out of date; run `make generate`\n"


def test_the_readme_shows_the_commands_and_the_catalogue() -> None:
    text = (ROOT / "README.md").read_text()
    assert [row.name for row in COMMANDS if f"[`aitrade {row.name}`]" not in text] == []
    assert [row.id for row in ROWS if f"| {row.id} | {row.promise} |" not in text] == []


def test_only_what_stands_between_the_markers_is_renewed() -> None:
    text = "before\n<!-- generated: commands -->\nold\n<!-- end -->\nafter\n"
    renewed = generate.with_tables(text)
    assert renewed.startswith("before\n<!-- generated: commands -->\n| ")
    assert renewed.endswith(" |\n<!-- end -->\nafter\n")
    assert "stale words" not in renewed
    assert generate.with_tables(renewed) == renewed


def test_generated_pages_say_so_on_their_first_line(made: dict[str, str]) -> None:
    pages = [text for name, text in made.items() if name.startswith("docs/")]
    assert all(generate.COMMAND in text.splitlines()[0] for text in pages)


def test_nothing_generated_names_a_place_on_this_machine(made: dict[str, str]) -> None:
    assert [name for name, text in made.items() if str(ROOT) in text] == []


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_a_page_has_every_option_that_the_help_has(row: generate.Command) -> None:
    page = generate.command_page(row)
    shown = aitrade(*row.name.split(), "--help", env={"COLUMNS": "200"}).stdout.decode()
    lines = [line.lstrip("│* ") for line in shown.splitlines()]  # a star: it must be given
    flags = {line.split()[0] for line in lines if line.startswith("--")} - {"--help"}
    assert flags == {taken.flags[0] for taken in taken_by(row) if taken.flags}
    assert [flag for flag in flags if f"| `{flag}" not in page] == []


def test_every_failure_says_what_it_means_and_has_a_name_of_its_own() -> None:
    found = failures_in(ROOT / "aitrade_cli")
    assert {"WouldOverwrite", "NothingArrived", "CannotWrite"} <= found.keys()
    assert [name for name, (_, said) in found.items() if not said] == []
    classes = [
        line.split("class ")[1].split("(")[0]
        for path in (ROOT / "aitrade_cli").rglob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith("class ") and "(" in line
    ]
    assert [name for name in found if classes.count(name) > 1] == []


def test_a_failure_is_found_however_its_base_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('class Held(Refused):\n    "Held."\n    exit_code = 6\n')
    text = 'class Mine(a.Held):\n    "Mine."\n\nclass Lock(a.Lock):\n    "None."\n'
    (tmp_path / "b.py").write_text(text)
    assert failures_in(tmp_path)["Mine"] == (6, "Mine.")
