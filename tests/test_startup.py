"""`aitrade --help` stays fast because it imports nothing heavy. No stopwatch: a look at modules."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import aitrade_cli
from aitrade_cli.catalog import COMMANDS
from tests.shell import python

HEAVY: Final = (
    "torch", "numpy", "onnx", "onnxruntime", "onnxscript", "openvino", "pandas", "polars",
    "pyarrow", "matplotlib", "scipy", "talib", "psutil", "zstandard", "jaxtyping",
)  # fmt: skip
RUN: Final = """
import sys
from {module} import main
sys.argv = {argv!r}
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
"""
BARE: Final = """
import typer, sys
app = typer.Typer(help="A program")
app.callback()(lambda: None)
app.command("one", help="One\\n\\nmore", epilog="Example", rich_help_panel="A")(lambda: None)
try:
    app(["--help"])
except SystemExit:
    pass
"""
TORCH_FREE: Final = (
    "model/card.py",
    "model/series.py",
    "model/runtimes/onnxruntime.py",
    *(f"model/{path.name}" for path in Path(aitrade_cli.__path__[0], "model").glob("onnx_*.py")),
)


def modules_after(code: str, **env: str) -> set[str]:
    probe = "\nimport json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    return set(json.loads(python(code + probe, env=env).splitlines()[-1]))


def heavy_after(code: str, **env: str) -> set[str]:
    return modules_after(code, **env) & set(HEAVY)


def run(*words: str) -> str:
    return RUN.format(module="aitrade_cli.main", argv=["aitrade", *words])


@cache
def modules_after_help() -> set[str]:
    return modules_after(run("--help"))


def test_help_imports_nothing_heavy() -> None:
    assert modules_after_help() & set(HEAVY) == set()


def test_help_imports_no_rich_beyond_what_typer_loads() -> None:
    ours = {name for name in modules_after_help() if name.split(".")[0] == "rich"}
    assert ours - modules_after(BARE) == set()


def test_help_imports_no_command() -> None:
    assert not {name for name in modules_after_help() if name.startswith("aitrade_cli.commands.")}


@pytest.mark.parametrize("name", [row.name for row in COMMANDS])
def test_the_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    assert heavy_after(run(*name.split(), "--help")) == set()


@pytest.mark.parametrize("name", [row.name for row in COMMANDS])
def test_completing_options_imports_nothing_heavy(name: str) -> None:
    typed = f"aitrade {name} --"
    at = str(typed.count(" "))
    bash = {"_AITRADE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": at}
    assert heavy_after(run(), **bash) == set()


def test_a_wrong_option_is_told_without_heavy_imports() -> None:
    told = run("check-all", "--nothing-of-the-kind").replace("assert not left.code", "assert True")
    assert heavy_after(told) == set()


@pytest.mark.parametrize("file", TORCH_FREE)
def test_an_onnx_worker_starts_without_torch(file: str) -> None:
    if not Path(aitrade_cli.__path__[0], file).exists():
        pytest.fail(f"{file} is not there; it must import without torch")
    module = "aitrade_cli." + file.removesuffix(".py").replace("/", ".")
    assert "torch" not in modules_after(f"import {module}")


def test_a_backend_that_is_not_asked_for_costs_no_import() -> None:
    loaded = modules_after("import aitrade_cli.passes.compile.run")
    assert "torch" in loaded
    assert loaded & {"torch._inductor", "torch._dynamo", "pandas", "talib"} == set()


def test_a_program_is_profiled_without_the_libraries_that_it_brings() -> None:
    assert not heavy_after("import aitrade_cli.system.profiling.profiler") & {"torch", "numpy"}


@pytest.mark.parametrize("module", ["torch", "numpy", "onnx"])
def test_the_probe_would_notice(module: str) -> None:
    assert module in heavy_after(f"import {module}")


def test_the_probe_for_rich_would_notice() -> None:
    assert "rich.tree" in modules_after(BARE + "import rich.tree") - modules_after(BARE)
