"""One network through the loop: with adapters, by processes that do not wait, or plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from aitrade_cli.passes.train.network import start_of
from aitrade_cli.passes.train.parts import adapters_of, build_of, placement_of
from aitrade_cli.passes.train.prepare import Prepared
from aitrade_cli.passes.train.tuning import Tuned, train_wild
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.feeding import fed
from aitrade_cli.training.goal import Fit, Hooks
from aitrade_cli.training.hogwild import HogwildFit
from aitrade_cli.training.placement import Placement
from aitrade_cli.training.run import device_of, pursue
from aitrade_cli.training.state import State
from aitrade_cli.training.trading import TradedLabels


@dataclass(frozen=True, slots=True)
class Learned:
    """What the loop made of a network.

    Attributes:
        tuned: of the adapters that were trained and folded in; None without.
        wild: of the processes that trained without waiting; None without.
    """

    fit: Fit
    tuned: Tuned | None = None
    wild: HogwildFit | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """For the report."""
        told = [] if self.tuned is None else [self.tuned.note]
        if self.wild is not None:
            told.append(f"HOGWILD: {self.wild.verdict}; plain descent, two runs differ")
        return tuple(told)

    def as_data(self) -> dict[str, Any]:
        """For the history."""
        told: dict[str, Any] = {}
        if self.tuned is not None:
            told["lora"] = self.tuned.as_data()
        if self.wild is not None:
            told["hogwild"] = {"updates": list(self.wild.updates), "speedup": self.wild.speedup}
        return told


def learn(
    ready: Prepared,
    network: nn.Module,
    objective: TradedLabels,
    callbacks: tuple[Callback, ...],
    seat: Seat | None = None,
    state: State | None = None,
) -> tuple[nn.Module, Learned]:
    """Train; adapters are proven before and folded in after.

    Returns:
        The trained network, whole in process 0 where it was sharded, and how it came about.

    Raises:
        AdaptersDoNotWork: a promise of the adapters does not hold.
        BadInput: see `pursue`.
    """
    settings = ready.settings
    workers = settings.values["training.hogwild"]
    if workers:
        fit, wild = train_wild(network, objective, ready.recipe, workers)
        return network, Learned(fit, wild=wild)
    adapters = adapters_of(settings)
    windows = objective.training.windows
    if adapters is not None:
        adapters.prove(network, windows)
    placement = placement_of(settings, seat, device_of(network))
    with fed(objective, ready.found.loader):
        fit = pursue(
            network,
            objective,
            ready.recipe,
            hooks=Hooks(callbacks=callbacks),
            state=state,
            build=build_of(settings) if adapters is None else adapters.build(),
            placement=placement,
        )
    if adapters is not None:
        return network, Learned(fit, adapters.fold_in(network, windows))
    return whole_of(ready, network, placement), Learned(fit)


def whole_of(ready: Prepared, network: nn.Module, placement: Placement) -> nn.Module:
    """The network with all of its weights, also where each process holds a part."""
    if "shard" not in placement.features:
        return network
    weights = placement.weights(network)
    whole = start_of(ready.settings, ready.plan, ready.start.base).network
    if weights:
        whole.load_state_dict(weights)
    return whole.eval()
