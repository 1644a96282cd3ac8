"""Findings in the training step: its size, its optimizer, its checkpoints, its switches."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.health import debug_switches
from aitrade_cli.system.profiling.report import Finding, Fix
from aitrade_cli.system.profiling.rules.prediction import (
    Sources,
    advice,
    environment_fix,
    finding,
    place_of,
    source_fix,
    sure,
)
from aitrade_cli.system.profiling.source import Source, keyword_of, number_of

SMALL: Final = 8  # samples in one step; below, calling costs more than computing
STEPS: Final = 50  # fewer are no training loop
STEP_SECONDS: Final = 0.02  # a step that takes longer computes
WANTED: Final = 64
OPTIMIZER: Final = 0.20
SAVING: Final = 0.05
COMPILING: Final = 0.10
COMPILATIONS: Final = 4
WORKING: Final = ("forward", "backward", "optimizer")


def tiny_batches(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Each step holds so few samples that the calls cost more than the numbers."""
    steps = evidence.calls("optimizer")
    working = evidence.seconds(*WORKING, "sync")
    if steps < STEPS or working / steps > STEP_SECONDS:
        return
    loaders = [row for row in evidence.facts.get("loaders") or () if row["batch"]]
    loader = max(loaders, key=lambda row: row["items"] or 0) if loaders else sliced(evidence, steps)
    if loader is None or int(loader["batch"]) > SMALL:
        return
    batch = int(loader["batch"])
    items = loader["items"] or WANTED * STEPS
    wanted = max(2 * batch, min(WANTED, items // 16))
    share = (working + evidence.seconds("loader")) / evidence.wall
    fewer = 1.0 - batch / wanted
    yield finding(
        "tiny_batches", place_of(loader["file"], loader["line"]), share,
        f"{steps:,} steps of {batch} samples each: calling costs more than computing",
        (0.55 * fewer, fewer), batch_fix(sources, loader, wanted), sure(evidence, working),
    )  # fmt: skip


def sliced(evidence: Evidence, steps: int) -> dict[str, Any] | None:
    """Batches that the program cuts by itself: by the samples of the passes that steps follow.

    Agents act on one observation and learn from many: the largest of the regular passes counts.
    """
    passes = [one for one in evidence.of("forward") if one.calls >= steps / 2]
    if not passes:
        return None
    site = max(passes, key=lambda one: one.size / one.calls)
    batch = max(round(site.size / site.calls), 1)
    return {"file": site.file, "line": site.line, "batch": batch, "items": batch * steps}


def batch_fix(sources: Sources, loader: dict[str, Any], wanted: int) -> Fix:
    caution = "fewer and larger steps train differently: look at the learning rate again"
    told = advice(f"use batches of {wanted} or more; {caution}")
    source = sources.get(loader["file"])
    call = source.call_at(loader["line"], "DataLoader") if source else None
    if source is None or call is None:
        return told
    value = keyword_of(call, "batch_size") or (call.args[1] if len(call.args) > 1 else None)
    if value is None:
        edit = source.keyword(call, "batch_size", str(wanted))
    else:
        written = value if number_of(value) is not None else constant_of(source, value)
        if written is None:
            return told
        edit = source.replacing(written, str(wanted))
    return source_fix(source, source.edited([edit]), caution)


def constant_of(source: Source, value: ast.expr) -> ast.expr | None:
    """Where the number is written that a name stands for, if it is written once."""
    if not isinstance(value, ast.Name):
        return None
    given = [
        node.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and any(
            isinstance(one, ast.Name) and one.id == value.id
            for one in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
    ]
    return given[0] if len(given) == 1 and number_of(given[0]) is not None else None


def slow_optimizer(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """The update of the weights takes much of the step."""
    share, sites = evidence.share("optimizer"), evidence.of("optimizer")
    if share < OPTIMIZER or not sites:
        return
    site = sites[0]
    fix = advice("build the optimizer with `fused=True`")
    source = sources.get(site.file)
    makers = source.calls("Adam", "AdamW", "SGD", "Adagrad") if source else []
    if source is not None and len(makers) == 1 and keyword_of(makers[0], "fused") is None:
        fix = source_fix(source, source.edited([source.keyword(makers[0], "fused", "True")]))
    yield finding(
        "slow_optimizer", place_of(site.file, site.line), share,
        "the optimizer goes through the parameters one by one", (0.0, 0.7), fix,
        sure(evidence, site.seconds),
    )  # fmt: skip


def waiting_checkpoint(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Training stands still while a checkpoint is written."""
    for site in evidence.of("checkpoint"):
        share = site.seconds / evidence.wall
        if share < SAVING or site.calls < 2:
            continue
        each = site.seconds / site.calls
        # A thread that saves needs a core; what a second process gets now is what it will get.
        beside = min((evidence.parallel or (2.0, 2.0))[0] - 1.0, 1.0)
        yield finding(
            "waiting_checkpoint", place_of(site.file, site.line), share,
            f"training waits {each:.2f} s for each of {site.calls} checkpoints",
            (0.3 * beside, 1.0),
            checkpoint_fix(sources.get(site.file), site.line), sure(evidence, site.seconds),
        )  # fmt: skip


def checkpoint_fix(source: Source | None, line: int) -> Fix:
    caution = "a crash may lose the newest checkpoint; the last one is waited for at the end"
    told = advice("save from a thread, from a copy of the state, and keep only the newest")
    call = source.call_at(line, "save") if source else None
    if source is None or call is None or len(call.args) < 2 or call.keywords:
        return told
    words = [source.segment(one) for one in call.args]
    text = f"SAVING.submit({source.segment(call.func)}, copy.deepcopy({words[0]}), {words[1]})"
    if source.calls("fsync"):
        return told  # what is synced after it must be there
    return source_fix(
        source,
        source.edited([
            source.replacing(call, text),
            source.importing(
                "import copy", "from concurrent.futures import ThreadPoolExecutor", "",
                "SAVING = ThreadPoolExecutor(max_workers=1)",
            ),
        ]),
        caution,
    )  # fmt: skip


def anomaly_mode(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Anomaly detection was on to the end, or for a `with`."""
    row = switched_on(evidence.facts)
    if row is None and not evidence.facts.get("anomaly"):
        return
    place, fix = "torch", advice("something outside of your files turns `detect_anomaly` on")
    if row is not None:
        place, fix = place_of(row["file"], row["line"]), anomaly_fix(sources, row)
    share = evidence.share("forward", "backward")
    yield finding(
        "debug_switch", place, share,
        "anomaly detection is on: each operation keeps its stack and is looked over for NaN",
        (0.15, 0.85), fix, "medium",
    )  # fmt: skip


def switched_on(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The line that turned it on last, unless a later one of yours turned it off again."""
    for row in reversed(facts.get("anomaly_set") or []):
        given = row["named"].get("mode", row["values"][0] if row["values"] else True)
        if given:
            return row
        break
    held = facts.get("anomaly_with") or []
    return held[-1] if held else None


def anomaly_fix(sources: Sources, row: dict[str, Any]) -> Fix:
    source = sources.get(row["file"])
    call = source.call_at(row["line"], "set_detect_anomaly") if source else None
    mode = keyword_of(call, "mode") if call else None
    value = mode or (call.args[0] if call is not None and call.args else None)
    if source is None or value is None:
        return advice("take `detect_anomaly` out: it is for finding a NaN, not for training")
    return source_fix(source, source.edited([source.replacing(value, "False")]))


def debug_environment(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """A debugging variable is set."""
    del sources
    switches = debug_switches(evidence.environment)
    if not switches:
        return
    what = "; ".join(f"`{name}`: {why}" for name, why in switches.items())
    yield finding(
        "debug_switch", "environment", 1.0 - evidence.imports / evidence.wall,
        f"left from debugging: {what}", (0.0, 0.6), environment_fix(dict.fromkeys(switches, "")),
        "low",
    )  # fmt: skip


def recompilations(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """`torch.compile` compiles again and again."""
    told = evidence.facts.get("compilations") or {}
    count, seconds = int(told.get("count", 0)), float(told.get("seconds", 0.0))
    share = seconds / evidence.wall
    sites = evidence.facts.get("compiled") or []
    if count < COMPILATIONS or share < COMPILING or not sites:
        return
    # One compilation stays whatever is done, the first one with its warming up; with sizes that
    # are symbols it takes longer, up to three times as long.
    stays = float(told.get("first") or seconds / count) / seconds
    row = sites[-1]
    source = sources.get(row["file"])
    call = source.call_at(row["line"], "compile") if source else None
    fix = advice("compile with `dynamic=True`, or pad to a few lengths")
    if source is not None and call is not None:
        fix = source_fix(source, source.edited([source.keyword(call, "dynamic", "True")]))
    yield finding(
        "recompilations", place_of(row["file"], row["line"]), share,
        f"compiled {count} times, once for each new shape or value",
        (max(1.0 - 3.0 * stays, 0.0), 1.0 - stays),
        fix, sure(evidence, seconds),
    )  # fmt: skip
