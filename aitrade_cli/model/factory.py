"""A user's own network: a function that builds it, and what its module says beside it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import Arch, Card, Decision, Preprocessing, TensorSpec
from aitrade_cli.model.surgery import RECORD, replay

T = TypeVar("T")


class NoFactory(BadInput):
    """The factory cannot be imported, or is no function."""

    default_hint = "name a function as `package.module:function`, importable from this folder"


class FactoryFailed(BadInput):
    """The factory ran, and gave no network."""

    default_hint = "call it in Python first; it takes the config as keywords and returns a module"


def named(text: str) -> Arch:
    """Read what stands behind `--arch`: a name, and the config as JSON right after it.

    ``lstm{"features": 20}``, ``package.module:factory``, ``package.module:factory{"width": 32}``.

    Raises:
        NoFactory: the config is no JSON table.
    """
    name, brace, rest = text.partition("{")
    if not brace:
        return Arch(name)
    try:
        config = json.loads(brace + rest)
    except (ValueError, RecursionError) as error:
        raise NoFactory(f"the config in `{text[:80]}` is no JSON: {error}") from error
    return Arch(name, config)


def find(name: str) -> tuple[ModuleType, Callable[..., Any]]:
    """Import the module of ``package.module:factory``. This runs the user's code.

    The working folder counts as importable, as for `python -m`.

    Raises:
        NoFactory: there is no such module or function, or importing it fails.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise NoFactory(f"`{name}` is no `package.module:function`")
    sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise NoFactory(
            f"`{module_name}` cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove("")
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise NoFactory(f"`{module_name}` has no function `{attribute}`")
    return module, factory


def call(arch: Arch) -> nn.Module:
    """Build the user's network with the config as keywords, and cut out what a file records.

    Raises:
        BadSurgery: the record does not fit the network.
        NoFactory: it cannot be imported.
        FactoryFailed: it raises, or returns something else than a torch module.
    """
    _, factory = find(arch.name)
    try:
        module = factory(**{key: arch.config[key] for key in arch.config if key != RECORD})
    except (Exception, SystemExit) as error:  # the user's function may raise anything
        raise FactoryFailed(f"`{arch.name}` fails: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise FactoryFailed(f"`{arch.name}` gives a {type(module).__name__}, wanted a torch module")
    return replay(module, arch.config[RECORD]) if RECORD in arch.config else module


def card_of(arch: Arch) -> Card:
    """What the factory's module says of the network: all of it optional.

    ``PREPROCESSING``, ``DECISION``, ``INPUTS`` and ``OUTPUTS``, as the classes of
    `aitrade_cli.model.card`. Without ``INPUTS`` one window ``[batch, time, feature]`` is
    assumed, as wide as ``PREPROCESSING.features`` where that is given.

    Raises:
        NoFactory: the module cannot be imported.
        FactoryFailed: a constant has the wrong type; it is named.
    """
    module, _ = find(arch.name)
    preprocessing = constant(module, "PREPROCESSING", Preprocessing)
    wide: int | str = len(preprocessing.features) if preprocessing else "feature"
    decision = constant(module, "DECISION", Decision) or Decision()
    classes = len(decision.positions) if decision.kind == "argmax" else 1
    window = TensorSpec("window", ("batch", "time", wide))
    return Card(
        inputs=specs(module, "INPUTS") or (window,),
        outputs=specs(module, "OUTPUTS") or (TensorSpec("logits", ("batch", classes)),),
        arch=arch,
        preprocessing=preprocessing,
        decision=decision,
    )


def constant(module: ModuleType, name: str, kind: type[T]) -> T | None:
    value = getattr(module, name, None)
    if value is not None and not isinstance(value, kind):
        raise FactoryFailed(
            f"`{module.__name__}.{name}` is a {type(value).__name__}, wanted a {kind.__name__}"
        )
    return value


def specs(module: ModuleType, name: str) -> tuple[TensorSpec, ...]:
    values = constant(module, name, tuple) or ()
    if not all(isinstance(value, TensorSpec) for value in values):
        raise FactoryFailed(f"`{module.__name__}.{name}` holds something that is no TensorSpec")
    return values
