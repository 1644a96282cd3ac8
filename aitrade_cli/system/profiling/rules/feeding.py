"""Findings before the first multiplication: loading batches, parsing text, starting up."""

from __future__ import annotations

import ast
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from aitrade_cli.system.profiling.evidence import Evidence, Site
from aitrade_cli.system.profiling.report import Finding, Fix
from aitrade_cli.system.profiling.rules.prediction import (
    Sources,
    advice,
    finding,
    place_of,
    source_fix,
    sure,
)
from aitrade_cli.system.profiling.source import (
    Edit,
    Function,
    Loop,
    Source,
    dotted,
    keyword_of,
    number_of,
)
from aitrade_cli.system.profiling.stacks import LineTime

WAIT: Final = 0.10  # shares of the wall time from which on a finding is worth a line
PARSING: Final = 0.10
START_UP: Final = 0.30
MOST_WORKERS: Final = 8
WORKER_SECONDS: Final = (0.03, 0.2)  # to start one, an epoch
HANDING: Final = 0.15  # of what workers made: packing it up and taking it out again
PARQUET: Final = "parse once and keep the bars as Parquet; read text with `pyarrow.csv.read_csv`"
OTHER_THREADS: Final = 0.5  # of the CPU time, by then the network keeps several cores busy


def slow_loader(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """The training loop waits for its next batch."""
    share = evidence.share("loader")
    sites = evidence.of("loader")
    loaders = evidence.facts.get("loaders") or []
    if share < WAIT or not sites:
        return
    wait = evidence.seconds("loader")
    loader = max(loaders, key=lambda row: row["items"] or 0) if loaders else None
    if loader is None or loader["workers"] > 0:
        text = "raise `num_workers` of the DataLoader, or make its items cheaper"
        yield finding(
            "slow_loader", place_of(sites[0].file, sites[0].line), share,
            "the loop waits for the loader's workers", (0.0, 0.9), advice(text),
            sure(evidence, wait),
        )  # fmt: skip
        return
    workers, least, most = workers_for(evidence, wait, sites[0])
    place = hottest_item(evidence) or place_of(loader["file"], loader["line"])
    yield finding(
        "slow_loader", place, share, "batches are made while the network waits",
        (least / wait, min(most / wait, 1.0)),
        loader_fix(sources, loader, workers), sure(evidence, wait),
    )  # fmt: skip


def workers_for(evidence: Evidence, wait: float, site: Site) -> tuple[int, float, float]:
    """How many loader processes, and the least and the most seconds that they would save."""
    steps = evidence.seconds("forward", "backward", "optimizer", "sync")
    busy = site.cpu_seconds / max(site.seconds, 1e-9)  # 1: computing, 0: waiting for a disk
    if busy < 0.5:
        workers = min(MOST_WORKERS, max(2, math.ceil(wait / max(steps, 1e-9))))
        worth = (float(workers), float(workers))
    else:
        workers = max(1, min(MOST_WORKERS, evidence.cores))
        # At least what processes get now; at best the cores, when whoever has them now is gone.
        now = evidence.parallel or (0.5 * (1 + evidence.cores), 0.0)
        worth = (now[0], float(evidence.cores))
    least, most = (
        wait + steps - max(steps, cost * wait / min(at_once, workers),
                           (cost * wait + steps) / (at_once if busy >= 0.5 else workers))
        - each * workers
        for at_once, cost, each in zip(
            worth, (1.0 + HANDING, 1.0), WORKER_SECONDS[::-1], strict=True
        )
    )  # fmt: skip
    return workers, max(least, 0.0), max(most, 0.05 * wait)


def hottest_item(evidence: Evidence) -> str | None:
    """The line of the user's data set where most of the wait is spent."""
    for one in evidence.lines:
        if one.function.endswith(("__getitem__", "__iter__", "__next__", "collate")):
            return place_of(one.file, one.line)
    return None


def loader_fix(sources: Sources, loader: dict[str, object], workers: int) -> Fix:
    file, line = str(loader["file"]), int(str(loader["line"]))
    source = sources.get(file)
    call = source.call_at(line, "DataLoader") if source else None
    if source is None or call is None:
        return advice(f"give the DataLoader `num_workers={workers}`")
    value = keyword_of(call, "num_workers")
    if value is not None and number_of(value) is None:
        return advice(f"run it with {workers} workers: `{source.segment(value)}` decides")
    edits = [source.keyword(call, "num_workers", str(workers))]
    return source_fix(source, source.edited(edits))


def slow_parsing(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Text tables are parsed by something slow."""
    for site in evidence.of("parse"):
        share = site.seconds / evidence.wall
        if share < PARSING:
            continue
        again = f", {site.calls} times" if site.calls > 1 else ""
        yield finding(
            "slow_parsing", place_of(site.file, site.line), share,
            f"text is parsed into numbers{again}", (0.6, 0.985),
            parsing_fix(sources.get(site.file), site), sure(evidence, site.seconds),
        )  # fmt: skip


def parsing_in_python(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Text is taken apart by Python itself: rows of `csv`, lines that are split, JSON by line."""
    spent: dict[tuple[str, int], list[LineTime]] = defaultdict(list)
    for one in evidence.lines:
        source = sources.get(one.file)
        around = source.function_at(one.line) or source.tree if source else None
        if around is not None and parses_text(around):
            spent[one.file, getattr(around, "lineno", 0)].append(one)
    for lines in spent.values():
        seconds = sum(one.seconds for one in lines)
        share, hottest = seconds / evidence.wall, max(lines, key=lambda one: one.seconds)
        if share < PARSING:
            continue
        yield finding(
            "slow_parsing", place_of(hottest.file, hottest.line), share,
            "text is parsed into numbers cell by cell, in Python", (0.6, 0.985), advice(PARQUET),
            sure(evidence, seconds), evidence.spread(share),
        )  # fmt: skip


def parses_text(around: ast.AST) -> bool:
    """Whether code reads rows of text in a loop and turns what it finds into numbers."""
    if isinstance(around, ast.Module):  # what stands in functions is looked at there
        inside = [node for part in around.body if not isinstance(part, Function | ast.ClassDef)
                  for node in ast.walk(part)]  # fmt: skip
    else:
        inside = list(ast.walk(around))
    calls = {dotted(node.func) for node in inside if isinstance(node, ast.Call)}
    loops = any(isinstance(node, Loop | ast.comprehension) for node in inside)
    rows = {"csv.reader", "csv.DictReader", "DictReader", "json.loads"} & calls
    split = any(name.endswith((".split", ".partition")) for name in calls)
    numbers = {"float", "int", "Decimal"} & calls
    return loops and (bool(rows) or (split and bool(numbers)))


def parsing_fix(source: Source | None, site: Site) -> Fix:
    told = advice(PARQUET)
    if source is None:
        return told
    call = source.call_at(site.line, "genfromtxt", "loadtxt", "read_csv")
    if call is None or not call.args:
        return told
    name = source.segment(call.func).split(".")[-1]
    if name == "read_csv":
        edits = [source.keyword(call, "engine", '"pyarrow"')]
        return source_fix(source, source.edited(edits), "pyarrow guesses types by itself")
    edits = numpy_edits(source, call)
    if edits is None:
        return told
    return source_fix(source, source.edited(edits), "needs a header line, as it skips one now")


def numpy_edits(source: Source, call: ast.Call) -> list[Edit] | None:
    """The same columns through pyarrow; None where the call asks for more than numbers."""
    known = {"delimiter", "skip_header", "skiprows", "usecols", "dtype"}
    asked = {one.arg: one.value for one in call.keywords}
    comma = asked.get("delimiter")
    skipped = number_of(asked.get("skip_header") or asked.get("skiprows"))
    plain = isinstance(comma, ast.Constant) and comma.value == ","
    if not plain or skipped != 1 or len(call.args) != 1 or set(asked) - known:
        return None
    columns = "columns"
    if "usecols" in asked:
        columns = f"select(list({source.segment(asked['usecols'])})).columns"
    table = f"pyarrow.csv.read_csv({source.segment(call.args[0])}).{columns}"
    kind = f".astype({source.segment(asked['dtype'])})" if "dtype" in asked else ""
    numpy = source.segment(call.func).rpartition(".")[0] or "np"
    text = f"{numpy}.column_stack([one.to_numpy() for one in {table}]){kind}"
    return [source.replacing(call, text), source.importing("import pyarrow.csv")]


def start_up(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """A short program that mostly imports."""
    del sources
    share = evidence.imports / evidence.wall
    if share < START_UP:
        return
    place = place_of(*evidence.import_place) if evidence.import_place else "imports"
    yield finding(
        "start_up", place, share,
        f"imports take {evidence.imports:.1f} s, paid once a run", (0.0, 0.15),
        advice("a longer run pays it once; keep one process for many short jobs"),
        sure(evidence, evidence.imports),
    )  # fmt: skip
