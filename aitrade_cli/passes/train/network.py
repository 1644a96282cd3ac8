"""The network that a run starts from: fresh, by name, or an earlier model's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aitrade_cli.errors import BadInput, Missing, Usage
from aitrade_cli.model import factory
from aitrade_cli.model.architectures import ARCHITECTURES
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.card import Arch
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.passes.train.recipe_file import NETWORK
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.training.history import plan_of
from aitrade_cli.training.loop import fresh
from aitrade_cli.training.walk import Plan

OWN_INPUTS = frozenset(("features", "classes", "window"))
PREFIX = f"{NETWORK}."


@dataclass(frozen=True, slots=True)
class Start:
    """A network to train, its architecture, and the model that it comes from."""

    network: nn.Module
    arch: Arch
    base: Artefact | None = None


def base_of(settings: Settings) -> Artefact | None:
    """The model to go on from.

    Raises:
        BadInput: it cannot be read, or says nothing of its inputs.
    """
    if settings.base is None:
        return None
    path = Path(settings.base)
    try:
        artefact = load(path.read_bytes(), name=path.name)
    except OSError as error:
        raise BadInput(f"cannot read `{settings.base}`: {error.strerror}") from error
    if artefact.card.preprocessing is None or artefact.card.arch is None:
        raise BadInput(f"`{settings.base}` does not say how bars become what its network takes")
    return artefact


def plan_for(settings: Settings, base: Artefact | None) -> Plan:
    """How bars are cut: features, window and clip of a base model stay its own."""
    if base is None or base.card.preprocessing is None:
        return settings.plan
    own = plan_of(base.card, base.card.preprocessing)
    return replace(settings.plan, features=own.features, window=own.window, clip=own.clip)


def own_values(settings: Settings, start: Start, plan: Plan) -> dict[str, Any]:
    """The recipe's values; what a base model decides is the base model's."""
    if start.base is None:
        return dict(settings.values)
    values = {name: one for name, one in settings.values.items() if not name.startswith(PREFIX)}
    config = {
        f"{PREFIX}{name}": value
        for name, value in start.arch.config.items()
        if name not in OWN_INPUTS and value is not None
    }
    cut = {"window": plan.window, "features": list(plan.features), "clip": plan.clip}
    return {
        **values,
        "arch": start.arch.name,
        **config,
        **{f"split.{name}": value for name, value in cut.items()},
    }


def start_of(settings: Settings, plan: Plan, base: Artefact | None) -> Start:
    """Build the network on the device that it will be trained on."""
    device = device_named(settings.values["device"])
    if base is not None and base.card.arch is not None:
        network = build(base)
        for weight in network.parameters():
            weight.requires_grad_(True)
        return Start(network.to(device), base.card.arch, base)
    arch = arch_of(settings.arch, settings.network, plan)
    if not arch.foreign:
        return Start(fresh(arch, settings.recipe.seed).to(device), arch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.recipe.seed)
        return Start(factory.call(arch).to(device), arch)


def arch_of(name: str, config: Mapping[str, Any], plan: Plan) -> Arch:
    """A complete config, so that a default that changes later changes no trained file.

    Raises:
        Usage: a setting that the window and the features decide.
        UnknownArchitecture: no built-in of that name; `create` says so.
    """
    taken = sorted(OWN_INPUTS & config.keys())
    if taken:
        raise Usage(
            f"`network.{taken[0]}` is not to be set: bars and labels decide it",
            hint="set `split.window` or `split.features` instead",
        )
    named = factory.named(name)
    given = {"features": len(plan.features), "classes": 3, **named.config, **config}
    if named.foreign:
        return Arch(named.name, given)
    usual: dict[str, Any] = {}
    built_in = ARCHITECTURES.get(named.name)
    for parameter in inspect.signature(built_in).parameters.values() if built_in else ():
        if parameter.name == "window":
            usual["window"] = plan.window
        elif parameter.default not in {inspect.Parameter.empty, None}:
            value = parameter.default
            usual[parameter.name] = list(value) if isinstance(value, tuple) else value
    return Arch(named.name, {**usual, **given})


def device_named(name: str) -> str:
    """Where to train.

    Raises:
        Missing: a GPU was named and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise Missing("torch sees no GPU here", hint="`--device auto` takes what there is")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
