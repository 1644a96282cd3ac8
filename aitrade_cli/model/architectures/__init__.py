"""The networks that aitrade builds by name, one file each.

All take one window, float32 ``[batch, time, feature]``, and give logits ``[batch, class]``.
Widths are set layer by layer, in plain JSON, so that a pruned network is the same class with
another config.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.architectures.deeplob import DeepLOB
from aitrade_cli.model.architectures.gru import GRU
from aitrade_cli.model.architectures.lstm import LSTM
from aitrade_cli.model.architectures.mlp import MLP
from aitrade_cli.model.architectures.tcn import TCN
from aitrade_cli.model.architectures.transformer import Transformer
from aitrade_cli.model.card import Arch

ARCHITECTURES: Final[Mapping[str, type[nn.Module]]] = MappingProxyType(
    {
        "mlp": MLP,
        "lstm": LSTM,
        "gru": GRU,
        "tcn": TCN,
        "transformer": Transformer,
        "deeplob": DeepLOB,
    }
)

FIXED_TIME: Final = frozenset({"mlp"})  # works at one window length only; the others at any
WIDEST: Final = 1 << 16
DEEPEST: Final = 64


class UnknownArchitecture(BadInput):
    """No built-in network has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no built-in architecture is called `{name}`",
            hint=f"one of {', '.join(ARCHITECTURES)}, or `--arch package.module:factory`",
        )


class WrongConfig(BadInput):
    """The built-in network cannot be built with this config."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"`{name}` cannot be built from its config: {reason}")


def create(arch: Arch) -> nn.Module:
    """Build a built-in network with fresh weights from torch's global generator.

    Under ``torch.device("meta")`` nothing is allocated, whatever the config asks for: load the
    weights with ``load_state_dict(..., assign=True)`` then. No network keeps a buffer.

    Raises:
        UnknownArchitecture: the name is not in ``ARCHITECTURES``.
        WrongConfig: a name or value in the config does not fit, or is out of all proportion.
    """
    network = ARCHITECTURES.get(arch.name)
    if network is None:
        raise UnknownArchitecture(arch.name)
    for key, value in arch.config.items():
        _check_sizes(arch.name, key, value)
    try:
        return network(**arch.config)
    except (TypeError, ValueError) as error:
        raise WrongConfig(arch.name, str(error)) from error


def _check_sizes(name: str, key: str, value: object) -> None:
    """Every setting is a whole number or a list of them; strangers wrote some configs."""
    sizes = value if isinstance(value, list | tuple) else [value]
    if len(sizes) > DEEPEST:
        raise WrongConfig(name, f"`{key}` has {len(sizes)} entries, at most {DEEPEST} make sense")
    for size in sizes:
        if type(size) is not int or not 0 < size <= WIDEST:
            raise WrongConfig(
                name, f"`{key}` holds `{size!r:.40}`, not a whole number in 1..{WIDEST}"
            )
