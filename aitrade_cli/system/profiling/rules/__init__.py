"""From evidence to findings, in the order in which they are worth looking at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.report import Finding
from aitrade_cli.system.profiling.rules.feeding import (
    parsing_in_python,
    slow_loader,
    slow_parsing,
    start_up,
)
from aitrade_cli.system.profiling.rules.prediction import NoSources, Sources
from aitrade_cli.system.profiling.rules.processor import (
    collecting,
    python_loop,
    returned_pages,
    too_many_threads,
)
from aitrade_cli.system.profiling.rules.steps import (
    anomaly_mode,
    debug_environment,
    recompilations,
    slow_optimizer,
    tiny_batches,
    waiting_checkpoint,
)
from aitrade_cli.system.profiling.rules.tensors import (
    growing_memory,
    repeated_copies,
    single_elements,
)

Rule = Callable[[Evidence, Sources], Iterator[Finding]]
# Earlier rules explain more: a later finding at the same line says the same with less.
RULES: Final[tuple[Rule, ...]] = (
    growing_memory, anomaly_mode, debug_environment, too_many_threads, tiny_batches,
    recompilations, slow_parsing, parsing_in_python, single_elements, repeated_copies,
    waiting_checkpoint, slow_loader, slow_optimizer, returned_pages, python_loop, collecting,
    start_up,
)  # fmt: skip


def findings_of(evidence: Evidence) -> list[Finding]:
    """Everything the rules find, what is worth most first."""
    sources = Sources()
    found: list[Finding] = []
    for rule in RULES:
        found += [one for one in applied(rule, evidence, sources) if not explained(one, found)]
    # Nobody gets imports back: whatever can be changed stands before them.
    return sorted(
        found,
        key=lambda one: (one.resource != "memory", one.kind == "start_up", -one.worth),
    )


def applied(rule: Rule, evidence: Evidence, sources: Sources) -> list[Finding]:
    """What one rule finds; where its edit would leave no Python, the same with advice only."""
    try:
        return list(rule(evidence, sources))
    except SyntaxError:
        return list(rule(evidence, NoSources()))


def explained(later: Finding, found: list[Finding]) -> bool:
    """Whether an earlier finding stands at the same line already.

    What has no line, as two variables of the environment, explains nothing of each other.
    """
    return at_line(later.place) and any(one.place == later.place for one in found)


def at_line(place: str) -> bool:
    return place.rpartition(":")[2].isdecimal()
