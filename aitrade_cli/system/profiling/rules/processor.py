"""Findings about the processor: Python loops, threads beyond the cores, pages given back."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.report import Finding, Fix
from aitrade_cli.system.profiling.rules.prediction import (
    Sources,
    advice,
    amdahl,
    environment_fix,
    finding,
    place_of,
    source_fix,
    sure,
)
from aitrade_cli.system.profiling.source import Function, Source, dotted

LOOPING: Final = 0.15
BYTECODE: Final = 0.5  # of the samples in a loop; below, numpy or torch does the work
FEW: Final = 5
COMPILE_SECONDS: Final = (0.4, 2.5)  # numba: import and the first call
ALLOCATING: Final = 0.06
FAULTS: Final = 20_000  # a second; fewer are ordinary growth
KEEP_PAGES: Final = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483648"}
COLLECTING: Final = 0.05
NUMERIC: Final = frozenset((
    "range", "len", "abs", "min", "max", "float", "int", "round", "enumerate", "zip", "bool", "sum",
    "math", "np", "numpy",
))  # fmt: skip


def python_loop(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Numbers are worked through one by one in Python."""
    groups: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0] * 5)
    for one in evidence.lines:
        source = sources.get(one.file)
        loops = source.loops_at(one.line) if source else []
        if not loops:
            continue
        # The outermost loop of a function that is called from a loop counts for itself.
        row = groups[one.file, loops[0].lineno]
        row[0] += one.own_seconds
        samples, interpreted = evidence.interpreted.get((one.file, one.line), (0, 0))
        row[3] += samples
        row[4] += interpreted
        if one.own_seconds > row[1]:
            row[1:3] = one.own_seconds, one.line
    for (file, loop), (seconds, _, hottest, samples, interpreted) in groups.items():
        if samples >= FEW and interpreted < BYTECODE * samples:
            continue
        share = seconds / evidence.wall
        source = sources.get(file)
        if share < LOOPING or source is None:
            continue
        fix = loop_fix(source, loop)
        low = max(0.3, (0.85 * seconds - COMPILE_SECONDS[1]) / seconds)
        high = max(low, (0.995 * seconds - COMPILE_SECONDS[0]) / seconds)
        if fix.kind == "advice":
            low, high = 0.3, 0.98
        yield finding(
            "python_loop", place_of(file, int(hottest)), share,
            "a Python loop works through numbers one by one", (low, high), fix,
            sure(evidence, seconds), evidence.spread(share),
        )  # fmt: skip


def loop_fix(source: Source, line: int) -> Fix:
    told = advice("work on whole arrays, or put the loop into a function under `@numba.njit`")
    function = source.function_at(line)
    if function is None or function.decorator_list or not numeric(source, function):
        return told
    edits = [source.before(function, "@numba.njit"), source.importing("import numba")]
    return source_fix(source, source.edited(edits), "sums may differ in the last digits")


def numeric(source: Source, function: Function) -> bool:
    """Whether numba could compile a function: numbers and arrays, nothing else."""
    if (
        isinstance(function, ast.AsyncFunctionDef)
        or source.parents.get(function) is not source.tree
    ):
        return False
    own = {one.arg for one in function.args.args}
    own |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and not reads(n)}
    constants = {
        target.id
        for node in source.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in (n for statement in function.body for n in ast.walk(statement)):
        if isinstance(node, ast.Name) and reads(node):
            if node.id not in own | NUMERIC | constants:
                return False
        elif isinstance(node, FORBIDDEN):
            return False
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            root = dotted(node.func).split(".")[0]
            if root not in NUMERIC and node.func.attr not in METHODS:
                return False
    return True


def reads(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


FORBIDDEN: Final = (
    ast.Dict, ast.DictComp, ast.Set, ast.SetComp, ast.Await, ast.Yield, ast.YieldFrom, ast.With,
    ast.Try, ast.Import, ast.ImportFrom, ast.Global, ast.Lambda, ast.FunctionDef, ast.ClassDef,
    ast.JoinedStr,
)  # fmt: skip
METHODS: Final = frozenset(("append", "mean", "sum", "std", "var", "min", "max", "copy", "astype"))


def too_many_threads(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """More threads than cores: they wait for each other's turn."""
    threads = int(evidence.facts.get("threads") or 0)
    asked = evidence.environment.get("OMP_NUM_THREADS", "")
    if not threads and asked.isdecimal():
        threads = int(asked)
    if threads <= evidence.cores:
        return
    share = evidence.share("forward", "backward", "optimizer", "sync", "copy")
    if share < 0.05:
        share = 1.0 - evidence.imports / evidence.wall
    place, fix = thread_fix(evidence, sources)
    yield finding(
        "too_many_threads", place, share,
        f"{threads} threads share {evidence.cores} cores and wait for each other",
        (0.2, 0.985), fix, "medium",
    )  # fmt: skip


def thread_fix(evidence: Evidence, sources: Sources) -> tuple[str, Fix]:
    cores = str(evidence.cores)
    sites = evidence.facts.get("threads_set") or []
    if not sites:
        return "environment", environment_fix({"OMP_NUM_THREADS": cores})
    row = sites[-1]
    place = place_of(row["file"], row["line"])
    source = sources.get(row["file"])
    call = source.call_at(row["line"], "set_num_threads") if source else None
    if source is None or call is None or not call.args:
        return place, advice(f"`torch.set_num_threads({cores})`")
    return place, source_fix(source, source.edited([source.replacing(call.args[0], cores)]))


def returned_pages(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Large arrays are given back to the kernel and asked for again, page by page."""
    del sources
    working = max(evidence.wall - evidence.imports, 1e-3)
    if evidence.faults / working < FAULTS:
        return
    counted = evidence.faults * evidence.fault_seconds
    # The kernel's own clock sees all that it does; the count sees faults alone.
    seconds = min(max(counted, 0.7 * evidence.system), 1.3 * max(evidence.system, 0.3 * counted))
    share = min(seconds / evidence.wall, 0.9)
    if share < ALLOCATING:
        return
    top = evidence.fault_lines[0] if evidence.fault_lines else None
    place = place_of(top[0], top[1]) if top else "allocator"
    fix = environment_fix(
        {**KEEP_PAGES, "THP_MEM_ALLOC_ENABLE": "1"} if "torch" in evidence.facts else KEEP_PAGES,
        "freed memory stays with the process",
    )
    found = finding(
        "returned_pages", place, share,
        f"{evidence.faults:,} page faults: large temporaries go back to the kernel each time",
        (0.35, 1.0), fix, sure(evidence, seconds),
    )  # fmt: skip
    # Pages that stay are in the cache too, which no counter shows.
    from dataclasses import replace

    yield replace(found, gain_high=round(amdahl(min(share * 1.3, 0.92), 1.0), 3))


def collecting(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """The garbage collector runs often and over much."""
    del sources
    share = evidence.collections / evidence.wall
    if share < COLLECTING:
        return
    yield finding(
        "garbage_collection", "interpreter", share,
        "the garbage collector goes through long-lived objects again and again", (0.3, 0.95),
        advice("call `gc.freeze()` once the data is loaded, or raise `gc.set_threshold`"),
        sure(evidence, evidence.collections),
    )  # fmt: skip
