"""TAB works in bash, zsh and fish: commands, and the options of a command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aitrade_cli.catalog import COMMANDS, GROUPS, Command, Group
from docs.options import taken_by
from tests.shell import ROOT, aitrade, program_folder, surroundings

SCRIPTS = ROOT / "completions"
NAMES = [row.name for row in COMMANDS]
SHELLS = ("bash", "zsh", "fish")


def protocol(shell: str, typed: str) -> dict[str, str]:
    """What the shell's script hands to the program in the environment."""
    if shell == "bash":
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    else:
        words = {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return {"_AITRADE_COMPLETE": f"complete_{shell}", **words}


def offered(shell: str, typed: str) -> str:
    done = aitrade(env=protocol(shell, typed))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_offered(shell: str) -> None:
    text = offered(shell, "aitrade ")
    assert [name for name in NAMES if name.split()[0] not in text] == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_command_of_a_group_is_offered(shell: str, group: Group) -> None:
    text = offered(shell, f"aitrade {group.name} ")
    verbs = [name.split()[1] for name in NAMES if name.startswith(f"{group.name} ")]
    assert verbs
    assert [verb for verb in verbs if verb not in text] == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("row", COMMANDS, ids=NAMES)
def test_every_option_of_a_command_is_offered(shell: str, row: Command) -> None:
    text = offered(shell, f"aitrade {row.name} --")
    flags = [flag for taken in taken_by(row) for flag in taken.flags if flag.startswith("--")]
    assert [flag for flag in flags if flag not in text] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_only_what_fits_is_offered(shell: str) -> None:
    text = offered(shell, "aitrade qu")
    assert "quantize" in text
    assert "inspect" not in text


def needs(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


def in_shell(command: list[str], folder: Path, **more: str) -> str:
    path = f"{program_folder(folder)}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=surroundings(PATH=path, HOME=str(folder), **more),
        cwd=folder,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD={at} COMP_LINE="{words}"
$(complete -p aitrade | sed 's/.*-F \\([^ ]*\\).*/\\1/') aitrade
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "answer"),
    [("aitrade qu", ["quantize"]), ("aitrade check-all --jun", ["--junit"])],
)
def test_bash_completes_with_the_script_sourced(
    words: str, answer: list[str], tmp_path: Path
) -> None:
    code = BASH.format(script=SCRIPTS / "aitrade.bash", words=words, at=words.count(" "))
    assert in_shell([needs("bash"), "--norc", "-c", code], tmp_path).split() == answer


@pytest.mark.parametrize(
    ("words", "answer"), [("aitrade qu", "quantize"), ("aitrade check-all --jun", "--junit")]
)
def test_fish_completes_with_the_script_sourced(words: str, answer: str, tmp_path: Path) -> None:
    code = f"source {SCRIPTS / 'aitrade.fish'}; complete -C '{words}'"
    lines = in_shell([needs("fish"), "--no-config", "-c", code], tmp_path).splitlines()
    assert [line.split("\t")[0] for line in lines] == [answer]


# zsh completes only in its line editor, so a terminal is made for it.
ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
until_seen() {{
  local seen= piece
  for _ in {{1..5000}}; do
    while zpty -r -t z piece 2>/dev/null; do seen+=$piece; done
    [[ $seen == *$1* ]] && return 0
    sleep 0.1
  done
  print -r -- "not seen: $1 in $seen" >&2
  return 1
}}
zpty -w z 'fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {dump}; echo REA""DY'
until_seen READY || exit 1
zpty -n -w z $'aitrade qu\\t' && until_seen antize || exit 1
zpty -n -w z $'--calibra\\t' && until_seen tion || exit 1
print completed
"""


def test_zsh_completes_on_the_first_tab_from_fpath(tmp_path: Path) -> None:
    code = ZSH.format(folder=SCRIPTS, dump=tmp_path / "dump")
    assert in_shell([needs("zsh"), "-f", "-c", code], tmp_path) == "completed\n"


def test_a_shell_without_the_script_knows_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no completion specification"):
        in_shell([needs("bash"), "--norc", "-c", "complete -p aitrade"], tmp_path)
