"""What `train` was asked for: usual values, then the recipe's, then the flags'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.market.backtest import Costs
from aitrade_cli.passes.train.recipe_file import (
    NETWORK,
    USUAL_VALUES,
    BadRecipe,
    checked_flags,
    read_recipe,
)
from aitrade_cli.training.criteria import parse_criteria
from aitrade_cli.training.labels import Labelling
from aitrade_cli.training.lora import LoraSettings
from aitrade_cli.training.lora import settings_of as lora_of
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.walk import Plan

RECIPE_NAME: Final = "recipe.toml"
BASE_NAME: Final = "base.pt"
OFFLOADING: Final = ("full", "deepspeed")  # ways to share out that can use main memory too
# May differ where a run is taken up; all but the workers give other sums.
FIXED: Final = ("device", "spread.devices", "spread.shard", "spread.offload", "training.workers")


class NoRun(BadInput):
    """A folder that no run was started in."""

    default_hint = "`--resume` takes the folder that a run was given as `--run-dir`"


@dataclass(frozen=True, slots=True)
class Settings:
    """One request.

    Attributes:
        values: every key of a recipe with its value, for the history and the run's folder.
        plan: how bars are cut and labelled.
        recipe: of the loop; its precision and batch may still be to find, see ``amp``, ``batch``.
        amp: format asked for; ``auto`` measures.
        run_dir: where everything of the run is kept; None keeps nothing.
        resume: go on from what is in ``run_dir``.
        base: an artefact whose network and normalization are taken up; None starts fresh.
        force: write over an earlier run in ``run_dir``.
        proven: another process looked for leaks already, and did not find any.
    """

    values: Mapping[str, Any]
    plan: Plan
    recipe: Recipe
    costs: Costs
    run_dir: Path | None = None
    resume: bool = False
    base: str | None = None
    force: bool = False
    proven: bool = False

    @property
    def arch(self) -> str:
        return self.values["arch"]

    @property
    def named_after(self) -> tuple[str, str]:
        """What a model without a name of its own is called after, and what is put behind it."""
        if self.base is None:
            return self.arch.partition(":")[0], ".pt"
        return (self.arch.partition(":")[0] if self.resume else self.base), ".trained.pt"

    @property
    def network(self) -> dict[str, Any]:
        """The architecture's own settings, as far as they were given."""
        prefix = f"{NETWORK}."
        return {
            name.removeprefix(prefix): value
            for name, value in self.values.items()
            if name.startswith(prefix)
        }

    @property
    def amp(self) -> str:
        asked = self.values["training.amp"]
        # Its steps are too small for another format to gain anything.
        return "fp32" if asked == "auto" and self.values["training.hogwild"] else asked

    @property
    def lora(self) -> LoraSettings | None:
        """Adapters to train instead of the weights; None trains the weights."""
        text = self.values["training.lora"]
        return lora_of(text) if text else None

    @property
    def finds_batch(self) -> bool:
        """Whether the batch size is to be found by measurement."""
        return self.values["training.batch"] == 0


def settings_of(
    recipe: str | None,
    flags: Mapping[str, Any],
    *,
    run_dir: Path | None = None,
    resume: str | None = None,
    base: str | None = None,
    force: bool = False,
) -> Settings:
    """Put usual values, a recipe's file and flags together.

    Args:
        recipe: path of a TOML file.
        flags: by full names of keys; None where one was not given.
        run_dir: folder of a new run.
        resume: folder of an earlier one; its recipe is the recipe.
        base: model file to start from.
        force: write over an earlier run.

    Raises:
        BadRecipe: a file or a value that cannot be used.
        Usage: arguments that contradict each other.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if resume is not None:
        refuse_beside_resume(recipe, given, run_dir, base)
        recipe, run_dir = str(Path(resume) / RECIPE_NAME), Path(resume)
        if not Path(recipe).is_file():
            raise NoRun(f"no run lies in `{resume}`")
    if base is not None and "arch" in given:
        raise Usage(
            "`--base` takes up a model's own architecture, so `--arch` cannot be given",
            hint="leave one of the two out",
        )
    refuse_accelerate(given.get("spread.shard"))
    told = {} if recipe is None else read_recipe(Path(recipe))
    values = {**USUAL_VALUES, **told, **checked_flags(given)}
    if resume is not None:
        base = told_base(Path(resume))
        if values["spread.shard"] not in OFFLOADING and "spread.offload" not in given:
            values["spread.offload"] = False  # of the way that the run was shared out before
    refuse_spread(values)
    if not values["data"]:
        raise Usage("no bars to train on are named", hint="add `--data BARS`")
    return Settings(
        values=values,
        plan=plan_of(values),
        recipe=recipe_of(values),
        costs=Costs(values["costs.fee_bps"], values["costs.slippage_bps"]),
        run_dir=run_dir,
        resume=resume is not None,
        base=base,
        force=force,
    )


def batch_of(text: str | None) -> int | None:
    """``128`` as a number, ``auto`` as 0: to be found.

    Raises:
        Usage: neither.
    """
    if text is None or text == "auto":
        return None if text is None else 0
    if not text.isdecimal():
        raise Usage(f"`--batch {text}` is no number of windows", hint="a whole number, or `auto`")
    return int(text)


def workers_of(text: str | None) -> int | None:
    """``2`` as a number, ``auto`` as -1: to be found.

    Raises:
        Usage: neither.
    """
    if text is None or text == "auto":
        return None if text is None else -1
    if not text.isdecimal():
        raise Usage(f"`--workers {text}` is no number of processes", hint="a number, or `auto`")
    return int(text)


def refuse_accelerate(shard: object) -> None:
    """Say what Accelerate does for a run: it starts the processes, and shards nothing itself.

    Raises:
        Usage: it was asked to shard.
    """
    if shard == "accelerate":
        raise Usage(
            "Accelerate starts processes; what they share out is named by `--shard full`",
            hint="`accelerate launch --multi_gpu --num_processes 2 --num_machines 1"
            " --module aitrade_cli train RECIPE --shard full`",
        )


def refuse_spread(values: Mapping[str, Any]) -> None:
    """What several processes cannot do.

    Raises:
        Usage: options that need others.
    """
    shard, compressed = values["spread.shard"], values["spread.compress_gradients"]
    if values["spread.offload"] and shard not in OFFLOADING:
        raise Usage(
            "`--offload` goes with `--shard full` or `deepspeed` only", hint="add `--shard full`"
        )
    if compressed != "none" and shard != "none":
        raise Usage(
            "gradients are compressed where every device has all of them",
            hint="leave `--shard` or `--compress-gradients` out",
        )


def refuse_beside_resume(
    recipe: str | None, given: Mapping[str, Any], run_dir: Path | None, base: str | None
) -> None:
    """A run is taken up as it was: its recipe lies in its folder."""
    beside = [name for name, value in (("a recipe", recipe), ("--run-dir", run_dir)) if value]
    beside += ["--base"] * (base is not None)
    beside += [f"`{name}`" for name in given if name not in FIXED]
    if beside:
        raise Usage(
            f"`--resume` takes everything from the run's folder, so {beside[0]} cannot be given",
            hint="leave it out, or start another run with `--run-dir`",
        )


def told_base(folder: Path) -> str | None:
    """The model that the run in a folder started from."""
    beside = folder / BASE_NAME
    return str(beside) if beside.is_file() else None


def plan_of(values: Mapping[str, Any]) -> Plan:
    def cut(name: str) -> Any:  # noqa: ANN401
        return values[f"split.{name}"]

    if not cut("features") or not all(isinstance(one, str) for one in cut("features")):
        raise BadRecipe("`split.features` names no features")
    return Plan(
        features=tuple(cut("features")),
        window=cut("window"),
        labelling=Labelling(cut("horizon"), cut("lookback"), cut("volatility_bars")),
        flat_share=cut("flat_share"),
        folds=cut("folds"),
        test_rows=cut("test_rows"),
        embargo=cut("embargo"),
        validation_share=cut("validation_share"),
        clip=cut("clip"),
    )


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """The loop's settings; the precision is float32 until `amp` was looked at."""
    names = {name for name in Recipe.__dataclass_fields__ if f"training.{name}" in values}
    told = {name: values[f"training.{name}"] for name in names}
    parse_criteria(told["early_stop"], told["patience"])  # before the long work
    if told["batch"] and told["accumulate"] > told["batch"]:
        raise Usage(
            f"a step of `{told['batch']}` windows cannot be cut into `{told['accumulate']}` parts",
            hint="a larger `--batch`, or a smaller `--accumulate`",
        )
    told["batch"] = told["batch"] or Recipe().batch
    return Recipe(**told, seed=values["seed"])
