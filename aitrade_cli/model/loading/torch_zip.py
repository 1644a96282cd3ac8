"""What `torch.save` wrote, read without torch's own reader."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.model.loading.limits import Limits
from aitrade_cli.model.loading.plain_pickle import BadPickle, Machine
from aitrade_cli.model.loading.tensors import Tensors, names_of
from aitrade_cli.model.loading.tree import check_tree

PICKLE: Final = "data.pkl"


class OtherByteOrder(BadInput):
    """The weights were saved on a big-endian machine."""

    default_hint = "load and save them once with `torch` on the machine that made them"

    def __init__(self, order: str) -> None:
        super().__init__(f"the weights are in `{order}` byte order, wanted `little`")


def is_torch_save(members: Mapping[str, bytes]) -> bool:
    """True for an archive of `torch.save`; TorchScript has ``constants.pkl`` as well."""
    return PICKLE in members and "constants.pkl" not in members


def read_saved(members: Mapping[str, bytes], limits: Limits) -> Any:
    """The object that was saved: plain containers and tensors, nothing else.

    Raises:
        WantsPython: the pickle names an object outside plain weights.
        BadPickle: it is damaged, or a tensor does not fit its bytes.
        OtherByteOrder: the weights are big-endian.
    """
    order = members.get("byteorder", b"little")
    if order != b"little":
        raise OtherByteOrder(order[:16].decode("ascii", "replace"))
    pickle = members[PICKLE]
    tensors = Tensors(members, limits)
    machine = Machine(names_of(tensors, len(pickle)), tensors.storage, limits)
    value = machine.run(pickle)
    check_tree(value, limits)
    if not isinstance(value, dict | list | tuple):
        raise BadPickle(f"the file holds one {type(value).__name__}, not a table of weights")
    return value
