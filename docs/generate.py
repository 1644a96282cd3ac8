"""Write what follows from the catalogue: reference pages, completions, the README's table.

`python docs/generate.py` writes; with `--check` it only says what is out of date, exit 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from aitrade_cli.catalog import COMMANDS, EXIT_CODES, PANELS, ROWS, Command  # noqa: E402
from aitrade_cli.main import details  # noqa: E402
from aitrade_cli.units import ratio_text, share_text  # noqa: E402
from docs.failures import failures_in  # noqa: E402
from docs.options import Taken, function_of, taken_by  # noqa: E402
from docs.settings import COLUMNS as SETTINGS_COLUMNS  # noqa: E402
from docs.settings import INTRO as SETTINGS_INTRO  # noqa: E402
from docs.settings import settings_rows  # noqa: E402

COMMAND: Final = "make generate"
NOTICE: Final = f"<!-- Generated from the catalogue; do not edit. To renew: `{COMMAND}` -->\n\n"
BESIDE_OPTIONS: Final = {
    "AITRADE_DEBUG": "`1`: print the traceback of every failure on stderr",
    "AITRADE_FIXTURES": "Folder with `bars/` and `models/` that `check-all` measures on; "
    "without it the ones that were installed, or the clone's",
    "AITRADE_LOG_FORMAT": "`--log-format` of the program: `text` or `json`; "
    "see [logging](../how-to/logging.md)",
    "AITRADE_LOG_LEVEL": "`--log-level` of the program: `debug`, `info`, `warning`, `error` or "
    "`critical`; `warning` without it",
    "AITRADE_MAX_MODEL_BYTES": "Largest model file that is read or unpacked; 8 GiB without it",
    "NO_COLOR": "Any value: no colours",
    "COLUMNS": "Width of help and reports on a terminal; 80 where there is none",
    "TMPDIR": "Where reports of bugs and files on the way between processes go",
}


def pages() -> dict[str, str]:
    """Every generated file, by its path below the root."""
    made = {f"docs/reference/commands/{page_of(row)}": command_page(row) for row in COMMANDS}
    made["docs/reference/catalog.md"] = catalog_page()
    made["docs/reference/exit-codes.md"] = exit_codes_page()
    made["docs/reference/environment-variables.md"] = environment_page()
    made["docs/reference/tune-settings.md"] = (
        NOTICE + SETTINGS_INTRO + table(SETTINGS_COLUMNS, settings_rows()) + "\n"
    )
    made["completions/aitrade.bash"] = completion("bash")
    made["completions/_aitrade"] = zsh_completion()
    made["completions/aitrade.fish"] = completion("fish")
    made["README.md"] = with_tables((ROOT / "README.md").read_text(encoding="utf-8"))
    return made


def page_of(row: Command) -> str:
    return f"{row.name.replace(' ', '-')}.md"


def command_page(row: Command) -> str:
    taken = taken_by(row)
    arguments = [entry for entry in taken if not entry.flags]
    usage = " ".join(["aitrade", row.name, *(entry.value for entry in arguments), "[OPTIONS]"])
    parts = [
        f"# `aitrade {row.name}`",
        f"{row.summary}.",
        f"```text\n{usage}\n```",
        details(function_of(row)),
        f"```console\n$ {row.example}\n```",
    ]
    if arguments:
        rows = [(f"`{entry.value}`", entry.help) for entry in arguments]
        parts.append("## Arguments\n\n" + table(("argument", "means"), rows))
    parts.append("## Options\n\n" + table(OPTION_COLUMNS, map(option_row, taken[len(arguments) :])))
    codes = [(f"`{code}`", EXIT_CODES[code]) for code in row.exit_codes]
    parts.append("## Exit codes\n\n" + table(("code", "means"), codes))
    parts.append("## See also\n\n" + " · ".join(links_of(row)))
    return NOTICE + "\n\n".join(parts) + "\n"


OPTION_COLUMNS: Final = ("option", "means", "without it", "environment")


def option_row(entry: Taken) -> tuple[str, ...]:
    flags = ", ".join(f"`{flag} {entry.value}".rstrip() + "`" for flag in entry.flags)
    default = f"`{entry.default}`" if entry.default else ""
    return flags, entry.help, default, f"`{entry.variable}`"


def links_of(row: Command) -> Iterator[str]:
    word = row.name.split()[0]
    if (ROOT / f"docs/how-to/{word}.md").exists():
        yield f"How-to: [{word}](../../how-to/{word}.md)"
    yield "[Environment variables](../environment-variables.md)"
    yield "[JSON output](../json-output.md)"
    yield "[Exit codes](../exit-codes.md)"


def catalog_page() -> str:
    rows = [
        (
            row.id,
            row.promise,
            f"[`{row.command}`](commands/{row.command.replace(' ', '-')}.md)",
            ratio_text(row.claim.speedup),
            share_text(row.claim.memory_saved, 0),
            f"`{row.example}`",
        )
        for row in ROWS
    ]
    columns = ("id", "promise", "command", "claimed speed", "claimed memory saved", "example")
    text = (
        "# Catalogue\n\nWhat aitrade does, row by row; the ids are stable. The claims are what "
        "was published for a row. What your machine gives is measured, never copied:\n\n"
        "```console\n$ aitrade check-all --only G1\n```\n\n"
    )
    return NOTICE + text + table(columns, rows) + "\n"


def exit_codes_page() -> str:
    codes = [(f"`{code}`", said) for code, said in EXIT_CODES.items()]
    commands = [
        (f"[`{row.name}`](commands/{page_of(row)})", " ".join(f"`{c}`" for c in row.exit_codes))
        for row in COMMANDS
    ]
    names = [
        (f"`{name}`", f"`{code}`", said)
        for name, (code, said) in sorted(failures_in(ROOT / "aitrade_cli").items())
    ]
    return NOTICE + (
        "# Exit codes\n\n"
        + table(("code", "means"), codes)
        + "\n\n## By command\n\nBeside these, `130` and `141` can end any of them.\n\n"
        + table(("command", "can end with"), commands)
        + "\n\n## Names of failures\n\nWith `--json` a failure is one line on stderr whose "
        "`data.name` is one of these words; they are stable.\n\n"
        + table(("name", "code", "means"), names)
        + "\n"
    )


def environment_page() -> str:
    found: dict[str, tuple[Taken, list[str]]] = {}
    for row in COMMANDS:
        for entry in taken_by(row):
            if entry.variable:
                found.setdefault(entry.variable, (entry, []))[1].append(f"`{row.name}`")
    rows = [
        (f"`{name}`", f"`{entry.flags[0]}`", entry.value and f"`{entry.value}`", ", ".join(names))
        for name, (entry, names) in sorted(found.items())
    ]
    others = [(f"`{name}`", said) for name, said in BESIDE_OPTIONS.items()]
    return NOTICE + (
        "# Environment variables\n\nEvery option can come from the environment; a flag on the "
        "command line wins. A switch is on for `1`, `true`, `yes` or `on` and off for `0`, "
        "`false`, `no` or `off`. An option that can be given several times takes its values "
        "separated by blanks.\n\n"
        "```console\n$ AITRADE_JSON=1 AITRADE_ONLY=G1 aitrade check-all\n```\n\n"
        "## Options\n\n"
        + table(("variable", "option", "value", "commands"), rows)
        + "\n\n## Beside the options\n\n"
        + table(("variable", "means"), others)
        + "\n"
    )


def completion(shell: str) -> str:
    """What the program itself prints for a shell."""
    words = [sys.executable, "-m", "aitrade_cli"]
    environment = {**os.environ, "_AITRADE_COMPLETE": f"source_{shell}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip() + "\n"


def zsh_completion() -> str:
    # Found on `fpath`, the file is run on the first TAB and has to answer that one too.
    both = (
        'if [[ "$funcstack[1]" == "_aitrade" ]]; then\n'
        '  _aitrade_completion "$@"\n'
        "else\n"
        "  compdef _aitrade_completion aitrade\n"
        "fi\n"
    )
    return completion("zsh").replace("compdef _aitrade_completion aitrade\n", both)


def with_tables(text: str) -> str:
    """The README with what stands between its markers renewed."""
    for name, made in (("commands", commands_table()), ("catalog", catalog_table())):
        before, start, rest = text.partition(f"<!-- generated: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if end:
            text = f"{before}{start}{made}\n{end}{after}"
    return text


def commands_table() -> str:
    rows = [
        (panel, f"[`aitrade {row.name}`](docs/reference/commands/{page_of(row)})", row.summary)
        for panel in PANELS
        for row in COMMANDS
        if row.panel == panel
    ]
    return table(("", "command", "does"), rows)


def catalog_table() -> str:
    rows = [(row.id, row.promise, f"`{row.example}`") for row in ROWS]
    return table(("row", "promise", "example"), rows)


def table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )


def stale(made: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Files that are not what would be written now, and pages of commands that are gone."""
    differs = [name for name, text in made.items() if read(root / name) != text]
    folder = root / "docs/reference/commands"
    there = {f"docs/reference/commands/{path.name}" for path in folder.glob("*.md")}
    return sorted([*differs, *(there - made.keys())])


def read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def write(made: Mapping[str, str], root: Path = ROOT) -> None:
    for name in stale(made, root):
        path = root / name
        if name not in made:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[name], encoding="utf-8")


def main(words: list[str]) -> int:
    """Write, or with `--check` say what is out of date; the exit code."""
    made = pages()
    late = stale(made)
    if "--check" not in words:
        write(made)
        sys.stdout.writelines(f"wrote {name}\n" for name in late)
        return 0
    sys.stderr.writelines(f"{name} is out of date; run `{COMMAND}`\n" for name in late)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
