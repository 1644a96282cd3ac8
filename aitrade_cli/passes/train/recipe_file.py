"""A recipe as a file: every key that there is, checked, and what a flag sets instead."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.market.features import DEFAULT_FEATURES
from aitrade_cli.passes.train.toml_text import is_plain, pair_text
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.walk import Plan

USUAL: Final = Recipe()
CUT: Final = Plan()
NETWORK: Final = "network"  # a section whose keys are the architecture's own
SEARCH: Final = "search"  # a section that only `aitrade search` reads


class BadRecipe(BadInput):
    """A recipe that cannot be read, or a key or value that is none."""

    default_hint = "`aitrade train --init recipe.toml` writes one with every key explained"


class BadFlag(Usage):
    """A flag whose value is out of its range."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting of a recipe.

    Attributes:
        name: with its section before a dot; without one it stands at the top.
        usual: what it is where nothing sets it.
        meaning: one line for the file and the reference.
        fits: whether a value is one; its sort is that of ``usual`` besides.
        wanted: what fits, in words.
    """

    name: str
    usual: Any
    meaning: str
    fits: Callable[[Any], bool] = lambda _: True
    wanted: str = ""


def above(least: float | int) -> dict[str, Any]:
    return {"fits": lambda value: value > least, "wanted": f"above {least:g}"}


def least(number: float | int) -> dict[str, Any]:
    return {"fits": lambda value: value >= number, "wanted": f"{number:g} or more"}


def share(*, most: float = 1.0) -> dict[str, Any]:
    return {"fits": lambda value: 0.0 <= value < most, "wanted": f"0 or more and below {most:g}"}


def one_of(*names: str) -> dict[str, Any]:
    return {"fits": lambda value: value in names, "wanted": f"one of {', '.join(names)}"}


KEYS: Final[tuple[Key, ...]] = (
    Key("arch", "lstm", "mlp, lstm, gru, tcn, transformer, deeplob, or your own `module:factory`"),
    Key("data", "", "Parquet or CSV bars; the newest of them only judge"),
    Key("symbol", "", "which instrument, where the bars hold several"),
    Key("seed", 0, "same seed, same threads, same weights", **least(0)),
    Key("device", "auto", "auto takes a GPU where there is one", **one_of("auto", "cpu", "cuda")),
    Key("split.features", list(DEFAULT_FEATURES), "numbers a bar is turned into"),
    Key("split.window", CUT.window, "bars that one decision looks back on", **least(1)),
    Key("split.horizon", CUT.labelling.horizon, "bars ahead that a label averages", **least(1)),
    Key("split.lookback", CUT.labelling.lookback, "bars back that it averages", **least(1)),
    Key(
        "split.volatility_bars",
        CUT.labelling.volatility_bars,
        "bars of returns that scale it",
        **least(2),
    ),
    Key("split.flat_share", CUT.flat_share, "of training labels called flat", **share()),
    Key("split.folds", 1, "walk-forward folds; the last one is the model", **least(1)),
    Key("split.test_rows", CUT.test_rows, "decisions of each untouched test part", **least(64)),
    Key("split.embargo", CUT.embargo, "bars left out before it, besides the purge", **least(0)),
    Key(
        "split.validation_share",
        CUT.validation_share,
        "of the training part, its latest bars: they decide when to stop",
        fits=lambda value: 0.0 < value <= 0.5,
        wanted="above 0 and 0.5 at the most",
    ),
    Key("split.clip", CUT.clip, "standard deviations that a feature is cut off at", **above(0)),
    Key("split.stride", 1, "every how many training windows one is used", **least(1)),
    Key("training.epochs", USUAL.epochs, "passes over the training windows", **least(1)),
    Key("training.batch", USUAL.batch, "windows a step learns from; 0 finds it", **least(0)),
    Key("training.accumulate", 1, "parts that a step is computed in, to save memory", **least(1)),
    Key("training.learning_rate", USUAL.learning_rate, "the highest of the schedule", **above(0)),
    Key("training.weight_decay", USUAL.weight_decay, "of AdamW", **least(0)),
    Key("training.clip_norm", USUAL.clip_norm, "longest gradient", **above(0)),
    Key(
        "training.schedule",
        USUAL.schedule,
        "how the learning rate moves",
        **one_of("cosine", "onecycle", "restarts", "linear", "constant"),
    ),
    Key("training.warmup_share", USUAL.warmup_share, "of all steps, rising", **share()),
    Key("training.restart_epochs", 0, "first cycle of `restarts`; 0: a quarter", **least(0)),
    Key("training.restart_factor", 1, "by how much each later cycle is longer", **least(1)),
    Key(
        "training.amp",
        "fp32",
        "format of matrix products; auto takes what is faster here",
        **one_of("auto", "fp32", "bf16", "fp16"),
    ),
    Key("training.activation_checkpointing", False, "compute activations twice, keep few"),
    Key("training.compile", False, "let torch.compile make the passes"),
    Key("training.average", 0.0, "decay of a moving average of weights; 0: none", **share()),
    Key("training.early_stop", "", 'criteria: "sharpe:max:patience=5,drawdown:<0.2"'),
    Key("training.patience", USUAL.patience, "epochs to wait, where no criterion says", **least(1)),
    Key("training.fused", True, "one kernel for the optimizer step: faster"),
    Key("training.workers", 0, "processes that cut batches ahead of use; -1 finds it", **least(-1)),
    Key("training.lora", "", "r=8: train adapters beside frozen weights of a base model"),
    Key("training.hogwild", 0, "processes that train without waiting; 0: none", **least(0)),
    Key("spread.devices", 1, "processes that share each batch, a GPU or core each", **least(1)),
    Key(
        "spread.shard",
        "none",
        "what is shared out: optimizer (ZeRO-1), full (FSDP2), or as deepspeed does (ZeRO-2)",
        **one_of("none", "optimizer", "full", "deepspeed"),
    ),
    Key("spread.offload", False, "use main memory too; with `full` or `deepspeed`"),
    Key(
        "spread.compress_gradients",
        "none",
        "what gradients are sent as",
        **one_of("none", "bf16", "fp16", "powersgd"),
    ),
    Key("checkpoint.every_steps", 0, "steps between two; 0: after passes only", **least(0)),
    Key("checkpoint.every_epochs", 1, "passes between two; best and last always", **least(1)),
    Key("checkpoint.keep", 2, "newest that stay; the best stays besides", **least(1)),
    Key("checkpoint.weights_only", False, "a third of the size; no run can go on from it"),
    Key("costs.fee_bps", 0.5, "basis points a unit of turnover", **least(0)),
    Key("costs.slippage_bps", 0.5, "basis points a unit of turnover", **least(0)),
    Key(
        "report.leaks",
        "quick",
        "prove that no future leaks in; full trains on shuffled labels too",
        **one_of("none", "quick", "full"),
    ),
    Key("report.tensorboard", False, "event files in RUN/tensorboard (extra `tensorboard`)"),
)
BY_NAME: Final = {key.name: key for key in KEYS}
USUAL_VALUES: Final[Mapping[str, Any]] = {key.name: key.usual for key in KEYS}


def read_recipe(path: Path) -> dict[str, Any]:
    """What the file sets, by full names; network settings as ``network.NAME``.

    Raises:
        BadRecipe: no TOML, a key that is none with the nearest one, or a value that does not fit.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRecipe(f"cannot read `{path}`: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRecipe(f"`{path}` is no TOML: {error}") from error
    found: dict[str, Any] = {}
    for name, value in told.items():
        if name == SEARCH:
            continue
        if isinstance(value, dict):
            found.update({f"{name}.{key}": one for key, one in value.items()})
        else:
            found[name] = value
    return checked(found, f"`{path.name}`")


def checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same values, each of its sort and in its range.

    Raises:
        BadRecipe: with the first that is not.
    """
    made = {}
    for name, value in values.items():
        if name not in BY_NAME and not name.startswith(f"{NETWORK}."):
            raise unknown(name, where)
        made[name], wrong = fitting(name, value)
        if wrong:
            raise BadRecipe(f"{where}: `{name}` is `{value!r:.40}`, wanted {wrong}")
    return made


def checked_flags(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same for what was given on the command line.

    Raises:
        BadFlag: with the first that does not fit.
    """
    made = {}
    for name, value in values.items():
        made[name], wrong = fitting(name, value)
        if wrong:
            flag = "--" + name.rpartition(".")[2].replace("_", "-")
            raise BadFlag(f"`{flag} {value}` does not fit: wanted {wrong}")
    return made


def fitting(name: str, value: Any) -> tuple[Any, str]:  # noqa: ANN401 -- any TOML value
    """The value, and what was wanted where it does not fit."""
    if not is_plain(value):
        return value, "numbers, text, true or false, lists or tables; no date"
    if name not in BY_NAME:
        return value, ""  # the architecture checks its own
    key = BY_NAME[name]
    if isinstance(key.usual, float) and type(value) is int:
        value = float(value)
    sort = type(key.usual)
    if type(value) is not sort or (sort is float and not math.isfinite(value)):
        return value, SORTS[sort]
    return value, "" if key.fits(value) else key.wanted


SORTS: Final = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
}


def unknown(name: str, where: str) -> BadRecipe:
    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.5) or [
        key for key in BY_NAME if key.rpartition(".")[2] == name.rpartition(".")[2]
    ]
    hint = f"did you mean `{near[0]}`?" if near else None
    return BadRecipe(f"{where}: `{name}` is no key of a recipe", hint=hint)


def as_toml(values: Mapping[str, Any], *, explained: bool = False) -> str:
    """A recipe file with these values; those that are missing are left out."""
    sections: dict[str, list[str]] = {"": [], NETWORK: network_lines(values, explained=explained)}
    for key in KEYS:
        if key.name in values:
            section, _, name = key.name.rpartition(".")
            line = pair_text(name, values[key.name])
            told = f"{line}  # {key.meaning}" if explained else line
            sections.setdefault(section, []).append(told)
    parts = [
        "\n".join([f"[{section}]", *lines] if section else lines)
        for section, lines in sections.items()
        if lines
    ]
    return "\n\n".join(parts) + "\n"


def network_lines(values: Mapping[str, Any], *, explained: bool) -> list[str]:
    """The architecture's own settings, as lines of their section."""
    prefix = f"{NETWORK}."
    lines = ["# settings of the architecture, such as: hidden_sizes = [128, 128]"] * explained
    return lines + [
        pair_text(name.removeprefix(prefix), value)
        for name, value in values.items()
        if name.startswith(prefix)
    ]


def template(values: Mapping[str, Any]) -> str:
    """A recipe to start from: every key with its meaning."""
    title = "# A recipe for `aitrade train`. Every key may go; flags win over what is here.\n\n"
    return title + as_toml({**USUAL_VALUES, **values}, explained=True)
