"""`aitrade tune-system`"""

from __future__ import annotations

from typing import Annotated

import typer

from aitrade_cli.commands.lists import words
from aitrade_cli.commands.options import Json, Seed, option
from aitrade_cli.errors import Usage
from aitrade_cli.pipeline import STDIO, emit, progress, write_output

VERBS = ("--verify", "--revert", "--history", "--confirm", "--emit")


def tune_system(
    rest: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|COMMAND...]", help="Run to undo, or after `--` what to prove"),
    ] = None,
    apply: Annotated[bool, option("--apply", help="Journal, apply, verify")] = False,
    prove: Annotated[
        bool, option("--prove", help="Keep only what makes COMMAND faster beyond the noise")
    ] = False,
    verify: Annotated[
        bool, option("--verify", help="Is the host as wanted, seen from a new process?")
    ] = False,
    revert: Annotated[
        bool, option("--revert", help="Undo the run ID, `all`, or the newest in force")
    ] = False,
    history: Annotated[
        bool, option("--history", help="List the runs that changed the host")
    ] = False,
    confirm: Annotated[bool, option("--confirm", help="Say yes to the run that waits")] = False,
    form: Annotated[
        str | None,
        option("--emit", metavar="FORM", help="env, systemd, dockerfile, kubernetes or ansible"),
    ] = None,
    purpose: Annotated[
        str, option("--purpose", metavar="NAME", help="train, inference or feed (market data)")
    ] = "train",
    root: Annotated[
        str, option("--root", metavar="DIR", help="Root of the host, or of a copy")
    ] = "/",
    only: Annotated[
        list[str] | None,
        option(
            "--only",
            variable="AITRADE_TUNE_SYSTEM_ONLY",
            metavar="ID",
            help="Only these settings or classes",
        ),
    ] = None,
    skip: Annotated[
        list[str] | None, option("--skip", metavar="ID", help="Not these settings or classes")
    ] = None,
    runtime_only: Annotated[
        bool, option("--runtime-only", help="Kernel values only: gone with the next boot")
    ] = False,
    persist: Annotated[
        bool, option("--persist", help="Files only: in force from the next boot or login on")
    ] = False,
    confirm_timeout: Annotated[
        float | None,
        option(
            "--confirm-timeout", min=0.1, metavar="SECONDS", help="Undo unless confirmed by then"
        ),
    ] = None,
    rounds: Annotated[
        int, option("--rounds", min=5, max=1000, help="Restarts of COMMAND in each arm")
    ] = 5,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:  # long because each verb is a branch, and each option is handed on once
    """Without a verb it prints the plan: what this host is, what would change and why. It changes
    nothing.

    Settings of the classes proven and hygiene are applied, situational ones where the purpose or
    a measurement asks, cargo cult never. The kernel's command line is printed, never written.
    Each write is journalled first and can be undone; what somebody else changed since is left
    alone and named. `--verify` exits 1 on drift.

    Without the right to change the system, the environment file goes to your own folders and the
    rest is reported with exit code 5.
    """
    from aitrade_cli.pipeline.asking import enter_pressed
    from aitrade_cli.system.tuning import work
    from aitrade_cli.system.tuning.confirm import confirm as say_yes
    from aitrade_cli.system.tuning.dropins import places_for
    from aitrade_cli.system.tuning.emit import emit_plan
    from aitrade_cli.system.tuning.history import history as past
    from aitrade_cli.system.tuning.plan import open_tree
    from aitrade_cli.system.tuning.revert import revert as undo
    from aitrade_cli.system.tuning.selecting import purpose_named

    name, words_after = "tune-system", rest or []
    given = (verify, revert, history, confirm, form is not None)
    check_verbs(given, words_after, apply=apply, prove=prove)
    if persist and runtime_only:
        raise Contradiction("`--persist` and `--runtime-only` cannot go together", hint="give one")
    tree = open_tree(root)
    places, run_id = places_for(tree), next(iter(words_after), None)
    asked = work.Asked(
        purpose_named(purpose),
        tuple(words(only)),
        tuple(words(skip)),
        "runtime" if runtime_only else "files" if persist else "both",
        confirm_timeout,
        tuple(words_after) if prove else (),
        rounds,
        seed,
    )
    with progress(name, as_json=as_json) as say:
        if verify:
            report = work.verify_host(tree, asked)
        elif revert:
            report = undo(tree, places, run_id)
        elif history:
            report = past(tree, places)
        elif confirm:
            report = work.Confirmed(say_yes(tree, places, run_id))
        elif form is not None:
            report = text = emit_plan(work.plan_host(tree, asked), form)
            if not as_json:
                write_output(STDIO, text.text.encode())
                return
        elif apply:
            report = work.apply_host(tree, asked, say=say, said_yes=enter_pressed)
        elif prove:
            report = work.prove_host(tree, asked, say=say)
        else:
            report = work.plan_host(tree, asked)
    emit(report, command=name, as_json=as_json)
    raise typer.Exit(getattr(report, "exit_code", 0))


class Contradiction(Usage):
    """Two things were asked for that exclude each other, or one without what it needs."""


def check_verbs(given: tuple[bool, ...], rest: list[str], *, apply: bool, prove: bool) -> None:
    chosen = [flag for flag, on in zip(VERBS, given, strict=True) if on]
    if apply or prove:
        chosen.insert(0, "--apply" if apply else "--prove")
    if len(chosen) > 1:
        raise Contradiction(f"`{chosen[0]}` and `{chosen[1]}` cannot go together", hint="give one")
    if prove and not rest:
        raise Contradiction(
            "`--prove` has no command",
            hint="aitrade tune-system --apply --prove -- python train.py",
        )
    most = 1 if chosen in (["--revert"], ["--confirm"]) else 0
    if len(rest) > most and not prove:
        raise Contradiction(
            f"`{rest[most]}` is not expected", hint="a command follows `--prove --`"
        )
