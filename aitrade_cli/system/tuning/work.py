"""What `aitrade tune-system` does for each of its verbs, as one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aitrade_cli.report.blocks import Block, Verdict, view
from aitrade_cli.system.tuning.apply import apply_plan, refuse_unfinished
from aitrade_cli.system.tuning.changes import Extent
from aitrade_cli.system.tuning.confirm import lives, start_guard, wait_for_answer
from aitrade_cli.system.tuning.dropins import Places, places_for
from aitrade_cli.system.tuning.facts import Facts, read_facts
from aitrade_cli.system.tuning.journal import read_runs
from aitrade_cli.system.tuning.outcomes import Outcomes, settled
from aitrade_cli.system.tuning.plan import Plan, make_plan
from aitrade_cli.system.tuning.proofs import Proof
from aitrade_cli.system.tuning.prove import prove
from aitrade_cli.system.tuning.settings.kinds import Purpose
from aitrade_cli.system.tuning.tree import Tree
from aitrade_cli.system.tuning.verify import VerifyReport, verify
from aitrade_cli.system.tuning.views import ApplyReport

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which settings, for what, and how far.

    Attributes:
        purpose: of the host.
        only: names of settings or classes; empty for all.
        skip: names that are left out.
        extent: values of the kernel only, files only, or both.
        confirm_seconds: undo by itself after so long without a yes; `None` for never.
        command: to prove the plan on; empty to take the plan as it is.
        rounds: restarts of the command in each arm.
        seed: of their order.
    """

    purpose: Purpose = "train"
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    extent: Extent = "both"
    confirm_seconds: float | None = None
    command: tuple[str, ...] = ()
    rounds: int = 5
    seed: int = 0


def plan_host(tree: Tree, asked: Asked) -> Plan:
    """Read a host and decide every setting; changes nothing."""
    return make_plan(read_facts(tree), asked.purpose, only=asked.only, skip=asked.skip)


def apply_host(
    tree: Tree,
    asked: Asked,
    *,
    say: Say = lambda _: None,
    said_yes: Callable[[float], bool] = lambda _: False,
) -> ApplyReport:
    """Plan, prove where a command was given, apply, and look from inside a new process.

    Args:
        tree: the host.
        asked: which settings and how far.
        say: progress.
        said_yes: waits so many seconds for the yes of a person, where one was asked for.

    Raises:
        CommandFailed: the command to prove on did not end well.
        CutOff: an earlier run was killed.
        WaitsForYes: an earlier run is not confirmed.
        CannotKeepJournal: the journal's folder may not be written.
        Busy: another run is at work.
    """
    places = places_for(tree)
    refuse_unfinished(read_runs(tree, places))
    say("reading the host")
    facts = read_facts(tree)
    plan = make_plan(facts, asked.purpose, only=asked.only, skip=asked.skip)
    proof = None
    if asked.command:
        proof, plan = prove(
            plan,
            facts,
            places,
            asked.command,
            rounds=asked.rounds,
            seed=asked.seed,
            say=say,
            kernel_too=asked.extent != "files",
        )
    say("applying")
    done, undone = applied(plan, facts, places, asked, say, said_yes)
    say("verifying in a new process")
    seen = verify_host(tree, asked) if done.run_id and not undone else None
    return ApplyReport(str(tree.root), asked.purpose, done, proof, seen, places.environment, undone)


def applied(
    plan: Plan,
    facts: Facts,
    places: Places,
    asked: Asked,
    say: Say,
    said_yes: Callable[[float], bool],
) -> tuple[Outcomes, bool]:
    """Apply a plan and wait for the yes where one is asked for; whether it was undone instead."""
    tree, wait, guards = facts.tree, asked.confirm_seconds, list[int]()
    done = apply_plan(
        plan,
        tree,
        places,
        now=datetime.now(UTC),
        boot_id=facts.boot_id,
        extent=asked.extent,
        confirm_seconds=wait,
        before_writes=lambda run_id: (
            None if wait is None else guards.append(start_guard(tree, run_id, wait))
        ),
    )
    if done.run_id is None or wait is None:
        return done, False
    say(f"undone in {wait:g} s unless confirmed: Enter, or `aitrade tune-system --confirm`")
    answer = wait_for_answer(
        tree,
        places,
        done.run_id,
        wait,
        said_yes=said_yes,
        guarded=lambda: any(map(lives, guards)),
    )
    undone = answer == "undone"
    return (done if undone else settled(done, plan, tree, places, asked.extent)), undone


def verify_host(tree: Tree, asked: Asked) -> VerifyReport:
    """Hold a host against what was applied, or against the plan where nothing was."""
    facts = read_facts(tree)
    plan = make_plan(facts, asked.purpose, only=asked.only, skip=asked.skip)
    return verify(facts, plan, places_for(tree))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The run that was waiting for a yes."""

    run_id: str


@view.register
def _(confirmed: Confirmed) -> Sequence[Block]:
    return (Verdict(f"{confirmed.run_id} confirmed: it stays", good=True),)


def prove_host(tree: Tree, asked: Asked, *, say: Say = lambda _: None) -> Proof:
    """Measure a plan's variables on a command; changes nothing."""
    facts = read_facts(tree)
    plan = make_plan(facts, asked.purpose, only=asked.only, skip=asked.skip)
    places = places_for(tree)
    proof, _ = prove(
        plan,
        facts,
        places,
        asked.command,
        rounds=asked.rounds,
        seed=asked.seed,
        say=say,
        kernel_too=False,
    )
    return proof
