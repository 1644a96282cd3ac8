"""One's own module becomes an artefact: bare weights and the function that builds the network."""

from __future__ import annotations

from torch import Tensor

from aitrade_cli.model import factory
from aitrade_cli.model.artefact import Artefact, TorchWeights
from aitrade_cli.model.card import Arch, Card, TensorSpec
from aitrade_cli.model.network import check_fit, empty_network


def wrap(data: bytes, arch: str, *, name: str = "-") -> Artefact:
    """Make an artefact out of a bare state dict or safetensors file.

    Args:
        data: the file.
        arch: as for `model.loading.load`.
        name: what messages call the file.

    Raises:
        BadInput: the file or the factory cannot be used, or they do not fit together.
        Refused: the file is not safe to read.
    """
    from aitrade_cli.model.loading import load  # loading wraps bare weights with this module

    return load(data, name=name, arch=arch)


def wrap_weights(weights: dict[str, Tensor], arch: str) -> Artefact:
    """Weights and the network that was named for them, checked against each other.

    Raises:
        WeightsDoNotFit: names or shapes differ.
        NoFactory, FactoryFailed: the factory cannot be imported or gives no network.
    """
    named = factory.named(arch)
    check_fit(empty_network(named).state_dict(), weights)
    card = factory.card_of(named) if named.foreign else built_in_card(named)
    return Artefact(card, TorchWeights(weights), arch_given=True)


def built_in_card(arch: Arch) -> Card:
    window = TensorSpec("window", ("batch", "time", "feature"))
    return Card(inputs=(window,), outputs=(TensorSpec("logits", ("batch", 3)),), arch=arch)
