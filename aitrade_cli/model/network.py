"""From an artefact to a torch module that runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.model import factory
from aitrade_cli.model.architectures import create
from aitrade_cli.model.artefact import (
    Artefact,
    Exported,
    NativePackage,
    OnnxGraph,
    Script,
    TorchWeights,
)
from aitrade_cli.model.card import Arch

SHOWN = 4


class NoArchitecture(BadInput):
    """The artefact has weights and nothing that says which network they are of."""

    default_hint = "pass `--arch package.module:factory`, or the name of a built-in one"

    def __init__(self, name: str) -> None:
        super().__init__(f"`{name}` does not say which network its weights are of")


class ForeignFactory(Refused):
    """The artefact names code to import; only the command line may do that."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the artefact wants `{name}` imported, which is code of someone else's",
            hint=f"if you know that code: `--arch {name}`",
        )


class WeightsDoNotFit(BadInput):
    """The state dict and the network have different tensors."""

    default_hint = "check the config in `aitrade inspect MODEL`, or pass another `--arch`"


class NotTorch(BadInput):
    """An ONNX graph has no torch module."""

    default_hint = "pass the `.pt` it was exported from; `aitrade inspect FILE` shows the history"


class NativeProgram(BadInput):
    """A package that was compiled ahead of time has no weights left to change."""

    def __init__(self, artefact: Artefact) -> None:
        steps = [step for step in artefact.card.history if step.parent_sha256]
        parent = steps[-1] if steps else None
        name = "" if parent is None else str(parent.settings.get("source", ""))
        sha = "" if parent is None else f" (sha256 {parent.parent_sha256})"
        super().__init__(
            f"`{artefact.name}` is machine code; it has no weights to change",
            hint=f"use its parent: `{name or 'the model it was compiled from'}`{sha}",
        )


def build(artefact: Artefact) -> nn.Module:
    """The network in eval mode with the artefact's weights, on the CPU.

    The module owns its weights: changing it leaves the artefact as it was.

    Raises:
        NotTorch: the artefact is an ONNX graph.
        NativeProgram: it was compiled ahead of time.
        NoArchitecture: the card names none.
        ForeignFactory: the card names a factory that no `--arch` vouched for.
        WeightsDoNotFit: names or shapes of the tensors differ; the first few are named.
    """
    network = artefact.network
    if isinstance(network, OnnxGraph):
        raise NotTorch(f"`{artefact.name}` is an ONNX graph, which torch cannot run")
    if isinstance(network, NativePackage):
        raise NativeProgram(artefact)
    if isinstance(network, Exported):
        from aitrade_cli.model.loading.pt2 import open_program  # loading imports this module

        return open_program(network.pt2_bytes).module()
    if isinstance(network, Script):
        from aitrade_cli.model.loading.script import open_script  # loading imports this module

        return open_script(network.archive_bytes)
    return build_from_weights(artefact, network)


def build_from_weights(artefact: Artefact, network: TorchWeights) -> nn.Module:
    arch = artefact.card.arch
    if arch is None:
        raise NoArchitecture(artefact.name)
    if arch.foreign and not artefact.arch_given:
        raise ForeignFactory(arch.name)
    module = empty_network(arch)
    check_fit(module.state_dict(), network.state_dict)
    weights = {name: tensor.detach().clone() for name, tensor in network.state_dict.items()}
    module.load_state_dict(weights, assign=not arch.foreign)
    return module.eval()


def empty_network(arch: Arch) -> nn.Module:
    """The network before its weights. A built-in one takes no memory yet.

    The global random generator is left as it was.
    """
    if not arch.foreign:
        # A config from a stranger may ask for terabytes; on `meta` that costs nothing.
        with torch.device("meta"):
            return create(arch)
    with torch.random.fork_rng(devices=[]):
        return factory.call(arch)


def check_fit(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raise unless both have the same names and shapes.

    Raises:
        WeightsDoNotFit: missing, unexpected and differently shaped tensors, the first few.
    """
    problems = [
        listed("lacks", [name for name in wanted if name not in given]),
        listed("has too many:", [name for name in given if name not in wanted]),
        listed(
            "has other shapes:",
            [
                f"{name} {list(given[name].shape)}, wanted {list(wanted[name].shape)}"
                for name in wanted
                if name in given and given[name].shape != wanted[name].shape
            ],
        ),
    ]
    if any(problems):
        raise WeightsDoNotFit(f"the state dict {'; it '.join(filter(None, problems))}")


def listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {', '.join(f'`{name}`' for name in names[:SHOWN])}{more}"
