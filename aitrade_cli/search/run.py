"""`search`: read a recipe, try what it may vary, and write the best one down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from aitrade_cli.errors import BadInput, Usage, VerdictNo
from aitrade_cli.files import sha256
from aitrade_cli.market.deflated import Deflated, Moments, deflate
from aitrade_cli.passes.train.recipe_file import NETWORK, USUAL_VALUES, as_toml
from aitrade_cli.report.plot import Figure
from aitrade_cli.search.machines import search_on_ray
from aitrade_cli.search.objectives import Goal, balanced, front_of
from aitrade_cli.search.pictures import figure_of
from aitrade_cli.search.report import SearchReport, TrialLine
from aitrade_cli.search.searching import Search, search_here
from aitrade_cli.search.space import Space
from aitrade_cli.search.study import AGAIN, FOUND, LOOKS, Study, held
from aitrade_cli.search.trials import Recipes, Trainer, settings_for, size_of
from aitrade_cli.search.varied import SIZE, read_searched, refuse_other_labels, space_for
from aitrade_cli.search.workers import search_in_processes

Say = Callable[[str], None]
Where = Literal["here", "processes", "ray"]


class NothingFound(VerdictNo):
    """No trial has an answer."""

    default_hint = "the reasons stand above; `[search]` may ask for what cannot be"


class NoSuchTrial(Usage):
    """`--pick` names a trial that the study does not have, or that has no answer."""

    default_hint = "`--pick` takes one of an earlier search: leave it out to search"


@dataclass(frozen=True, slots=True)
class Settings:
    """One request.

    Attributes:
        recipe: path of the TOML file; its ``[search]`` says what varies.
        goals: one or several.
        trials: over all runs.
        study: path of the journal.
        jobs: trials at once.
        ray: on a Ray cluster.
        prune: stop hopeless trials early.
        pick: number of the trial to write; None takes the best, or the most balanced one.
        seed: of the proposals.
    """

    recipe: Path
    goals: tuple[Goal, ...]
    trials: int
    study: Path
    jobs: int = 1
    ray: bool = False
    prune: bool = True
    pick: int | None = None
    seed: int = 0

    @property
    def where(self) -> Where:
        return "ray" if self.ray else "processes" if self.jobs > 1 else "here"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it: the best recipe as TOML, the report and the picture."""

    recipe: str
    report: SearchReport
    figure: Figure


def search_recipe(settings: Settings, output: str, say: Say = lambda _: None) -> Found:
    """Try until there are as many trials as wanted, and write the best recipe.

    Args:
        settings: what was asked for.
        output: name of the file that the recipe will be written to, for the report.
        say: told what is happening.

    Raises:
        OtherSearch: the journal is of another search.
        NothingFound: no trial has an answer.
        NoSuchTrial: there is none to pick.
        BadRecipe, BadSpace, CannotVary: the recipe cannot be read, or not be searched.
    """
    values, table = read_searched(settings.recipe)
    space = space_for(values, table)
    refuse_other_labels(space, settings.goals)
    own = settings_for(values, {})
    first = {**own.values, SIZE: size_of(own)}
    recipes = Recipes(values, settings.goals, threads=1 if settings.where != "here" else None)
    refuse_pick_of_nothing(settings)
    # Bars that cannot be read leave no journal behind that the mended recipe would not fit.
    trainer = recipes.open() if settings.pick is None else None
    began = time.perf_counter()
    with held(settings.study):
        study = Study(
            settings.study,
            space,
            settings.goals,
            key=key_of(values, space, settings),
            seed=settings.seed,
            first=first,
            prune=settings.prune,
        )
        before = len(study.trials)
        search = Search(study, settings.trials, say)
        if trainer is not None and search.wanted:
            run(search, recipes, trainer, settings)
        seconds = time.perf_counter() - began
        report = report_of(study, search, settings, first, output, (before, seconds))
        lines = [line_of(study, trial) for trial in study.complete]
    best = {**settings_for(values, report.chosen.settings).values, **report.chosen.found}
    best = {name: value for name, value in best.items() if value != USUAL_VALUES.get(name)}
    title = f"# Trial {report.chosen.number} of a search over {settings.recipe.name}.\n\n"
    return Found(title + as_toml(best), report, figure_of(report, settings.goals, space, lines))


def refuse_pick_of_nothing(settings: Settings) -> None:
    """A study that is not there has no trial to pick, and is not to be made by looking for one.

    Raises:
        NoSuchTrial: it is missing or empty.
    """
    study = settings.study
    if settings.pick is not None and not (study.is_file() and study.stat().st_size):
        raise NoSuchTrial(f"`{study}` is no study: no trial `{settings.pick}` to pick")


def run(search: Search, recipes: Recipes, trainer: Trainer, settings: Settings) -> None:
    """Answer trials where they were asked to be answered.

    Raises:
        KeyboardInterrupt: passed on, once it was said how the search goes on.
    """
    try:
        jobs = min(settings.jobs, search.left)
        if settings.where == "ray":
            search_on_ray(search, recipes, jobs)
        elif settings.where == "processes":
            search_in_processes(search, recipes, jobs)
        else:
            search_here(search, trainer)
    except KeyboardInterrupt:
        kept = len(search.study.trials)
        search.say(f"stopped; `{settings.study}` keeps {kept} trials: the same command goes on")
        raise
    finally:
        search.study.let_go()


def key_of(values: Mapping[str, Any], space: Space, settings: Settings) -> dict[str, Any]:
    """What two runs must share to be one search."""
    bars = Path(values.get("data", ""))
    return {
        "recipe": dict(values),
        "space": space.as_data(),
        "goals": [str(goal) for goal in settings.goals],
        "seed": settings.seed,
        "bars": sha256(bars.read_bytes()) if bars.is_file() else None,
    }


def line_of(study: Study, trial: FrozenTrial) -> TrialLine:
    settings, told = study.space.values_of(trial.params), trial.user_attrs
    return TrialLine(
        trial.number, tuple(trial.values), settings, told["epochs"], told.get(FOUND, {})
    )


def report_of(
    study: Study,
    search: Search,
    settings: Settings,
    first: Mapping[str, Any],
    output: str,
    times: tuple[int, float],
) -> SearchReport:
    """Everything that is told, of all runs of the search."""
    before, seconds = times
    goals, complete = study.goals, study.complete
    if not complete:
        reasons = [trial.user_attrs.get("why") for trial in study.trials]
        raise NothingFound(f"no trial has an answer; the last: {(reasons or ['none ran'])[-1]}")
    lines = [line_of(study, trial) for trial in complete]
    kept = [lines[place] for place in front_of(goals, [line.values for line in lines])]
    kept.sort(key=lambda line: line.values[0], reverse=goals[0].sense == "maximize")
    chosen = chosen_of(goals, lines, kept, settings.pick)
    own = study.space.as_params(first)
    same = [line_of(study, trial) for trial in complete if trial.params == own]
    states = [trial.state for trial in study.trials]
    spent = [trial.user_attrs for trial in study.trials if "epochs" in trial.user_attrs]
    return SearchReport(
        study=str(settings.study),
        output=output,
        goals=tuple(str(goal) for goal in goals),
        figures=tuple(goal.figure for goal in goals),
        trials=len(states),
        complete=len(complete),
        pruned=states.count(TrialState.PRUNED),
        failed=states.count(TrialState.FAIL),
        again=sum(AGAIN in trial.user_attrs for trial in study.trials),
        new=len(states) - before,
        front=tuple(kept),
        chosen=chosen,
        recipe=same[0] if same else None,
        deflated=deflated_of(study, chosen),
        epochs=sum(told["epochs"] for told in spent),
        epochs_planned=sum(told["of"] for told in spent),
        wall_seconds=seconds,
        overhead_seconds=max(0.0, seconds - search.evaluating),
        jobs=settings.jobs,
        where=settings.where,
        notes=notes_of(study, settings, first),
    )


def chosen_of(
    goals: Sequence[Goal], lines: Sequence[TrialLine], front: Sequence[TrialLine], pick: int | None
) -> TrialLine:
    """The trial that was picked, else the best; of several goals the one nearest to all.

    Raises:
        NoSuchTrial: none with an answer has that number.
    """
    if pick is None:
        everyone = [line.values for line in lines]
        return front[balanced(goals, [line.values for line in front], everyone)]
    found = [line for line in lines if line.number == pick]
    if not found:
        known = ", ".join(str(line.number) for line in front)
        raise NoSuchTrial(
            f"no trial with an answer has the number `{pick}`",
            hint=f"of those with one, none beats {known}",
        )
    return found[0]


def deflated_of(study: Study, chosen: TrialLine) -> Deflated | None:
    """The chosen Sharpe ratio against the best that so many looks reach without an edge.

    Each trial is one, stopped and refused ones too, but not one whose settings came again; each
    of its passes is where it kept the one that earned most.
    """
    told = {trial.number: trial.user_attrs for trial in study.trials}
    looks = [
        one
        for attributes in told.values()
        for one in attributes.get(LOOKS, [attributes.get("figures", {}).get("sharpe_per_bar")])
        if one is not None
    ]
    mine = told[chosen.number]["figures"]
    if mine.get("sharpe_per_bar") is None:
        return None
    moments = Moments(mine["sharpe_per_bar"], mine["skewness"], mine["kurtosis"], int(mine["bars"]))
    return deflate(moments, looks)


def notes_of(study: Study, settings: Settings, first: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [
        "figures are of the validation bars; the test part is still unseen: `aitrade train"
        " BEST.toml` looks at it once"
    ]
    if settings.prune and not study.prunes:
        many = "several goals have no common order" if len(study.goals) > 1 else "it is known late"
        notes.append(f"no trial was stopped early: {many}")
    timed = {"latency", "seconds"} & {goal.figure for goal in study.goals}
    if timed and settings.where != "here":
        notes.append(f"{min(timed)} was measured while other trials ran: measure again alone")
    if first["spread.devices"] > 1 or first["spread.shard"] != "none":
        notes.append("each trial was trained by one process: `[spread]` is for `aitrade train`")
    own = any(name.startswith(f"{NETWORK}.") for name in first)
    if own and any(part.name == SIZE for part in study.space.parts):
        notes.append(
            f"`{SIZE}` sets the whole network: the recipe's own `[{NETWORK}]` was not used"
        )
    if settings.where != "here":
        notes.append("trials in parallel come in another order each time, and so do proposals")
    return tuple(notes)


def default_study(recipe: Path) -> Path:
    """Where a search is remembered without `--study`: in the current folder."""
    if not recipe.suffix:
        raise BadInput(f"`{recipe}` is no recipe", hint="`aitrade train --init recipe.toml`")
    return Path(recipe.with_suffix(".study.journal").name)
