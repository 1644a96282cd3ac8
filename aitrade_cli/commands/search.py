"""`aitrade search`"""

from __future__ import annotations

from typing import Annotated

import typer

from aitrade_cli.commands.options import Force, Json, Plot, Seed, option
from aitrade_cli.pipeline import emit, output_name, progress, write_output


def search(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe in TOML")],
    trials: Annotated[
        int, option("--trials", min=1, help="Recipes to try, over all runs of the search")
    ] = 50,
    minimize: Annotated[
        str | None,
        option("--minimize", metavar="FIGURES", help="loss, drawdown, latency, size, seconds"),
    ] = None,
    maximize: Annotated[
        str | None,
        option("--maximize", metavar="FIGURES", help="sharpe, sortino, accuracy, profit_factor"),
    ] = None,
    study: Annotated[
        str | None,
        option("--study", metavar="FILE", help="Journal of the search; derived without"),
    ] = None,
    jobs: Annotated[int, option("--jobs", min=1, help="Trials at once")] = 1,
    ray: Annotated[
        bool, option("--ray", help="Spread the jobs over a Ray cluster (extra `ray`)")
    ] = False,
    no_prune: Annotated[
        bool, option("--no-prune", help="Train every trial to its end, hopeless or not")
    ] = False,
    pick: Annotated[
        int | None, option("--pick", min=0, help="Write this trial of the study; search no more")
    ] = None,
    output: Annotated[
        str | None,
        option("--output", "-o", metavar="FILE", help="The best recipe; derived without"),
    ] = None,
    plot: Plot = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:  # long because Typer takes one parameter an option, and each is handed on once
    """Varies what the recipe's `[search]` table says, else learning rate, weight decay, batch and
    size of the network. Each trial is judged on validation bars; the test part is not looked
    at. There may be several goals, `latency,size`: then the trials that none beats are told, and
    the most balanced one is written.

    Ctrl-C loses nothing: the same command goes on, and proposes what it would have proposed.
    The more trials, the luckier the best: its Sharpe ratio is told with the probability that it
    is more than that.
    """
    from pathlib import Path

    from aitrade_cli.report.plot import check_plot, save_plot
    from aitrade_cli.search.objectives import goals_of
    from aitrade_cli.search.run import Settings, default_study, search_recipe

    check_plot(plot)
    settings = Settings(
        recipe=Path(recipe),
        goals=goals_of([minimize] if minimize else [], [maximize] if maximize else []),
        trials=trials,
        study=Path(study) if study else default_study(Path(recipe)),
        jobs=jobs,
        ray=ray,
        prune=not no_prune,
        pick=pick,
        seed=seed,
    )
    target = output_name(recipe, output, ".best.toml", force=force)
    with progress("search", as_json=as_json) as say:
        found = search_recipe(settings, target, say)
    write_output(target, found.recipe.encode(), force=force)
    if plot:
        save_plot(plot, found.figure)
    emit(found.report, command="search", as_json=as_json, artefact=target)
