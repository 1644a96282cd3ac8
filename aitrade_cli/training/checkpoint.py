"""The state of a training run in a file: whole or not there, and opened without running code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.files import replace
from aitrade_cli.training.state import State


class OtherRun(Refused):
    """The folder holds the state of a run with other settings."""

    default_hint = "name another `--run-dir`, or leave `--resume` out to start anew"


class StateInTheWay(Refused):
    """The folder holds a state, and neither going on from it nor replacing it was asked for."""

    default_hint = "pass `--resume` to go on from it, or `--force` to start anew"


class NotAState(BadInput):
    """A file in the run's folder cannot be read."""

    default_hint = "remove it, or leave `--resume` out to start anew"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps its states, one file a network.

    Attributes:
        path: made where it is not there.
        key: plain data that two runs must share to be one: model, bars, settings.
        resume: go on from what is there; else it is written over.
    """

    path: Path
    key: Mapping[str, Any]
    resume: bool = False

    def keeper(self, name: str) -> Callable[[State], None]:
        """What to hand to `run.Hooks.keep` while the network ``name`` is trained."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"cannot make the folder `{self.path}`: {error.strerror}") from error
        return lambda state: replace(self.file(name), dump_state(state, self.key))

    def refuse_to_overwrite(self) -> None:
        """Keep a state that may have taken hours.

        Raises:
            StateInTheWay: there is one that would be written over.
        """
        there = [] if self.resume else sorted(self.path.glob("*.state.pt"))
        if there:
            raise StateInTheWay(f"`{there[0]}` holds the state of an earlier run")

    def found(self, name: str) -> State | None:
        """The state to go on from; None where there is none or none is wanted.

        Raises:
            OtherRun: it belongs to a run with another key.
            NotAState: the file was damaged or is something else.
        """
        if not self.resume or not self.file(name).is_file():
            return None
        return load_state(self.file(name), self.key)

    def file(self, name: str) -> Path:
        return self.path / f"{name}.state.pt"


def dump_state(state: State, key: Mapping[str, Any]) -> bytes:
    """Bytes that `torch.load(weights_only=True)` opens."""
    data = {"key": dict(key), **state.as_dict()}
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


def load_state(path: Path, key: Mapping[str, Any]) -> State:
    """Read what `dump_state` wrote.

    Raises:
        OtherRun: written by a run with another key; the first difference is named.
        NotAState: not such a file.
    """
    try:
        data = torch.load(path, weights_only=True)
        told, state = dict(data["key"]), State.from_dict(data)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError) as error:
        raise NotAState(f"`{path}` holds no state of a run") from error
    except pickle.UnpicklingError as error:
        raise NotAState(f"`{path}` holds no state of a run") from error
    for name in {**told, **key}:
        if told.get(name) != key.get(name):
            raise OtherRun(
                f"`{path}` is of a run with {name} `{told.get(name)}`, not `{key.get(name)}`"
            )
    return state
