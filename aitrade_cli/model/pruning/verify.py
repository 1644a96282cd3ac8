"""Try every cut on a copy first: dead units must be gone without a trace."""

from __future__ import annotations

import copy
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.model.pruning.groups import Group, cuts_of
from aitrade_cli.model.surgery import cut

TOLERANCE: Final = 1e-4  # of the outputs' size; float32 sums in another order differ by less


def broken(
    network: nn.Module, group: Group, windows: Float[Tensor, "batch time feature"]
) -> str | None:
    """Why the group cannot be cut; None where it can.

    Half of its units are made unread in one copy and cut out of another: both must answer alike.
    This finds layers that look at all units at once, sizes kept in the user's own code, and
    whatever the dependency graph missed.
    """
    kept = np.arange(0, group.units, 2)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    dead, small = copy.deepcopy(network).eval(), copy.deepcopy(network).eval()
    try:
        silence(dead, group, np.arange(1, group.units, 2))
        cut(small, cuts_of([(group, kept)], shapes))
        with torch.inference_mode():
            wanted, found = dead(windows), small(windows)
    except Exception as error:  # the user's forward may raise anything when sizes change
        return f"the network does not run without some of its units: {str(error)[:120]}"
    if wanted.shape != found.shape:
        return "these are the network's outputs"
    if not torch.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE):
        return "other layers look at all of its units at once"
    return None


def silence(network: nn.Module, group: Group, units: np.ndarray) -> None:
    """Set to zero every weight that reads one of the units, in place."""
    tensors = dict(network.named_parameters())
    with torch.no_grad():
        for member in group.members:
            if member.side == "reads":
                places = torch.from_numpy(member.places[units].ravel())
                tensors[member.tensor].index_fill_(member.axis, places, 0.0)
