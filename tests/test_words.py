"""Nothing in the repository belongs to one machine, or speaks of what is not the product."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.shell import ROOT

# Written in pieces, so that this file does not hold what it forbids.
FORBIDDEN: Final = (
    r"/wo" + r"rk/",
    r"/ro" + r"ot/",
    r"/ho" + r"me/[a-z]",
    r"/Us" + r"ers/[A-Za-z]",
    r"/tmp/(brief|pytest-of)",
    r"py" + r"thonhosted\.org",
    r"(extra-)?index-" + r"url",
    r"(?i)\b(chat" + r"gpt|clau" + r"de|copi" + r"lot|open" + r"ai|anthro" + r"pic)\b",
    r"(?i)\bAI[- ]assist",
    r"(?i)\bas an AI\b",
    r"\b(FIX" + r"ME|XX" + r"X|TO" + r"DO)\b",
)
BINARY: Final = (".parquet", ".pt", ".onnx", ".png", ".zst")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = [name for name in listed.stdout.split("\0") if name]
    return [ROOT / name for name in names if not name.endswith(BINARY)]


def forbidden_in(text: str) -> list[str]:
    return [found.group() for words in FORBIDDEN if (found := re.search(words, text))]


def test_no_tracked_file_holds_a_forbidden_word() -> None:
    paths = [path for path in tracked() if path.is_file()]
    if not paths:
        pytest.skip("not a git checkout")
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in paths}
    found = {path.relative_to(ROOT).as_posix(): forbidden_in(text) for path, text in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /wo" + "rk/main",
        "in /ho" + "me/someone/x",
        "--index-" + "url x",
        "made by Clau" + "de",
        "# TO" + "DO: later",
    ],
)
def test_a_forbidden_word_is_noticed(text: str) -> None:
    assert forbidden_in(text) != []


@pytest.mark.parametrize("text", ["a network of layers", "frame/home page", "todos os dias"])
def test_ordinary_words_are_not(text: str) -> None:
    assert forbidden_in(text) == []
