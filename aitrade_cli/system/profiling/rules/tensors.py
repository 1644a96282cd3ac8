"""Findings about tensors: read one by one, copied each step, kept for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

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
from aitrade_cli.system.profiling.source import Edit, Loop, Source, names_bound_in, names_in

READING: Final = 0.10
READS: Final = 2_000  # single elements; fewer are losses being logged
COPYING: Final = 0.06
GROWTH_BYTES: Final = 48 * 1024**2
GROWTH: Final = 0.15  # of the memory after the imports
STEADY: Final = 0.25  # of the growth, still in the second half
SOON_SECONDS: Final = 3600.0
LOOKS_APART: Final = 0.2  # seconds; an import that holds the interpreter stretches a gap


def single_elements(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """`.item()` in a loop: numbers leave their tensor one by one."""
    for group in by_loop(evidence.of("sync"), sources):
        calls = sum(one.calls for one in group)
        seconds = sum(reading_seconds(evidence, one) for one in group)
        share = seconds / evidence.wall
        if share < READING or (calls < READS and not evidence.facts.get("cuda")):
            continue
        site = max(group, key=lambda one: reading_seconds(evidence, one))
        what = f"numbers are taken out of tensors one by one, {calls:,} and more"
        if evidence.facts.get("cuda"):
            what += "; on a GPU each waits for all work before it"
        yield finding(
            "single_elements", place_of(site.file, site.line), share, what, (0.5, 0.99),
            reading_fix(sources.get(site.file), site, [one.line for one in group]),
            sure(evidence, seconds), evidence.spread(share),
        )  # fmt: skip


def by_loop(sites: list[Site], sources: Sources) -> list[list[Site]]:
    """Call sites of one innermost loop together: they have one fix."""
    groups: dict[tuple[str, int], list[Site]] = {}
    for site in sites:
        source = sources.get(site.file)
        loops = source.loops_at(site.line) if source else []
        groups.setdefault((site.file, loops[-1].lineno if loops else site.line), []).append(site)
    return list(groups.values())


def reading_seconds(evidence: Evidence, site: Site) -> float:
    """Taking the element out of the tensor belongs to it; the hook sees the call alone."""
    line = evidence.at(site.file, site.line)
    return max(site.seconds, line.seconds if line and site.calls >= READS else 0.0)


def reading_fix(source: Source | None, site: Site, lines: Sequence[int]) -> Fix:
    """`x[i].item()` becomes `x_list[i]`, with `x_list = x.tolist()` before the loop.

    ``lines`` are those at which elements were seen to leave a tensor: `float(x[i])` may be
    anything elsewhere.
    """
    told = advice("call `.tolist()` once before the loop, or keep the whole in tensors")
    loops = source.loops_at(site.line) if source else []
    if source is None or not loops:
        return told
    edits, lists = [], {}
    for loop in loops[-1:]:
        bound = names_bound_in(loop)
        for call, element in element_reads(loop, lines):
            tensor = element.value
            if names_in(tensor) & bound:
                continue
            name = source.segment(tensor).replace(".", "_") + "_list"
            if not name.isidentifier():
                continue
            lists[name] = source.segment(tensor)
            edits.append(source.replacing(tensor, name))
            if call.args == []:  # `float(…)` of a number stays as it is
                edits.append(Edit(source.end(element), source.end(call), ""))
    if not lists:
        return told
    text = "\n".join(f"{name} = {tensor}.tolist()" for name, tensor in lists.items())
    edits.append(source.before(loops[-1], text))
    return source_fix(source, source.edited(edits))


def element_reads(loop: Loop, lines: Sequence[int]) -> Iterator[tuple[ast.Call, ast.Subscript]]:
    """`name[index].item()` inside a loop, and `float(name[index])` at one of the lines."""
    for node in ast.walk(loop):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Subscript() as element, attr="item")):
                found = element
            case ast.Call(func=ast.Name(id=name), args=[ast.Subscript() as one]):
                found = one if name in {"float", "int"} and node.lineno in lines else None
            case _:
                continue
        if (
            found is not None
            and not isinstance(found.slice, ast.Slice | ast.Tuple)
            and isinstance(found.value, ast.Name | ast.Attribute)
        ):
            yield node, found


def repeated_copies(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Data is converted or moved anew in each step."""
    for site in evidence.of("copy"):
        share = site.seconds / evidence.wall
        if share < COPYING or site.calls < 10:
            continue
        each = site.size / site.calls / 1e6
        yield finding(
            "repeated_copies", place_of(site.file, site.line), share,
            f"{each:.1f} MB are converted or copied anew in each of {site.calls:,} calls",
            (0.6, 1.0), copy_fix(sources.get(site.file), site, evidence),
            sure(evidence, site.seconds),
        )  # fmt: skip


def copy_fix(source: Source | None, site: Site, evidence: Evidence) -> Fix:
    told = "convert once before the loop, to the dtype that the network takes"
    if evidence.facts.get("cuda"):
        told += "; pin the host side: `DataLoader(pin_memory=True)`, `.to(…, non_blocking=True)`"
    loops = source.loops_at(site.line) if source else []
    call = source.call_at(site.line, *COPIES) if source else None
    if source is None or not loops or call is None:
        return advice(told)
    whole, outer = widest(source, call, loops), None
    for loop in loops:
        if not names_in(whole) & names_bound_in(loop):
            outer = loop
            break
    if outer is None:
        return advice(told)
    name = fresh_name(source)
    text = f"{name} = {source.segment(whole)}"
    edits = [source.before(outer, text), source.replacing(whole, name)]
    return source_fix(source, source.edited(edits))


COPIES: Final = (
    "tensor", "as_tensor", "to", "float", "double", "half", "bfloat16", "cuda", "clone",
    "contiguous",
)  # fmt: skip


def widest(source: Source, call: ast.Call, loops: list[Loop]) -> ast.Call:
    """The longest chain of conversions around a call that no loop changes: `tensor(x).to(d)`."""
    best = call
    for node in source.above(call):
        if isinstance(node, ast.stmt):
            break
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in COPIES
            and not names_in(node) & names_bound_in(loops[-1])
        ):
            best = node
    return best


def fresh_name(source: Source) -> str:
    taken = names_in(source.tree)
    return next(name for name in ("converted", *(f"converted_{n}" for n in range(99)))
                if name not in taken)  # fmt: skip


def growing_memory(evidence: Evidence, sources: Sources) -> Iterator[Finding]:
    """Memory grows as long as the program runs."""
    working = [row for row in evidence.samples if row[0] >= evidence.imports]
    if not working:
        return
    start, peak = working[0][1], max(row[1] for row in working)
    # The first look after the imports may come when buffers are there already. What the last one
    # before held is below what a fix leaves, so the upper end of the gain is generous.
    before = [row[1] for row in evidence.samples
              if evidence.imports - LOOKS_APART <= row[0] < evidence.imports]  # fmt: skip
    least = min([start, *before[-1:]])
    # What is freed when the program ends says nothing of the time before.
    top = max(number for number, row in enumerate(working) if row[1] >= 0.98 * peak)
    seen = working[: top + 1]
    if len(seen) < 8:
        return
    half = seen[len(seen) // 2 :]
    growth, late = peak - start, half[-1][1] - half[0][1]
    if growth < max(GROWTH_BYTES, GROWTH * start) or late < STEADY * growth:
        return
    named = [row for row in evidence.grown if row["keeps_graph"] or row["held_bytes"] > 2**20]
    if not named:
        return
    row = max(named, key=lambda one: (one["keeps_graph"], one["held_bytes"]))
    line, fix = keeping(sources.get(row["file"]), row)
    rate = late / max(half[-1][0] - half[0][0], 1e-3)
    left = evidence.free_bytes / rate
    graph = ", each with the graph that made it" if row["keeps_graph"] else ""
    yield Finding(
        "growing_memory", place_of(row["file"], line), round(growth / peak, 4),
        f"`{row['name']}` keeps {row['after']:,} objects{graph}: {rate / 1e6:.0f} MB/s,"
        f" memory full in {minutes(left)}",
        "memory", round(peak / (peak - 0.4 * growth), 3), round(peak / least, 3),
        "high" if row["keeps_graph"] else "medium", fix,
    )  # fmt: skip


def minutes(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(seconds / 60, 1):.0f} min"
    return f"{seconds / 3600:.0f} h"


def keeping(source: Source | None, row: Mapping[str, Any]) -> tuple[int, Fix]:
    """The line that puts something into a container, and what to put there instead."""
    told = advice("keep numbers, not what they came from; or bound it: `deque(maxlen=…)`")
    adding = [] if source is None else [
        call
        for call in source.calls("append", "appendleft", "add")
        if isinstance(call.func, ast.Attribute)
        and source.segment(call.func.value).split(".")[-1] == row["name"].split(".")[-1]
    ]  # fmt: skip
    if source is None or not adding:
        return 1, told
    call = adding[0]
    if not row["keeps_graph"] or len(call.args) != 1:
        return call.lineno, told
    kept = source.segment(call.args[0])
    plain = f"{kept}.item()" if row["elements"] == 1 else f"{kept}.detach()"
    return call.lineno, source_fix(source, source.edited([source.replacing(call.args[0], plain)]))
