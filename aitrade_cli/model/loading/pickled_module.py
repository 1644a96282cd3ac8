"""A pickle that wants Python objects: named, refused, and let in only by its own sha256."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, Final

from aitrade_cli import files
from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.model.loading.plain_pickle import opcodes

SHOWN: Final = 8
STEPS_MAX: Final = 2_000_000
# What every file of plain weights names; told only where there is nothing else to tell.
HARMLESS: Final = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_(?:tensor_v[23]|parameter)|torch\.Size"
    r"|torch\.\w+Storage|torch\.storage\.UntypedStorage|_codecs\.encode"
)
OLD_MAGIC: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
TEXTS_KEPT: Final = 2  # STACK_GLOBAL takes the last two


class PickledModule(Refused):
    """Loading this pickle would import and call what it names."""

    def __init__(self, wanted: tuple[str, ...], sha256: str, member: str = "") -> None:
        names = ", ".join(f"`{name}`" for name in wanted[:SHOWN])
        more = f" and {len(wanted) - SHOWN} more" if len(wanted) > SHOWN else ""
        where = f"`{member}` inside is " if member else ""
        what = (
            f"a pickled module, which runs Python as it loads; it wants {names}{more}"
            if wanted
            else "a raw pickle, which could run Python as it loads"
        )
        super().__init__(
            f"{where}{what}",
            hint=f"save `model.state_dict()` instead; or, if you made this file yourself: "
            f"`--trust-pickle {sha256}`",
        )
        self.wanted = wanted


class OldSave(BadInput):
    """What `torch.save` wrote before torch 1.6: pickles one after the other, no archive."""

    default_hint = (
        'save it anew: `python -c "import torch; '
        "torch.save(torch.load('OLD', weights_only=True), 'NEW')\"`"
    )

    def __init__(self) -> None:
        super().__init__("the weights are in the format of torch before 1.6")


class WrongTrust(Refused):
    """`--trust-pickle` names another file than this one."""

    def __init__(self, given: str, sha256: str) -> None:
        super().__init__(
            f"`--trust-pickle {given[:64]}` is not the sha256 of this file",
            hint=f"if you made this file yourself: `--trust-pickle {sha256}`",
        )


class TrustedPickleFailed(BadInput):
    """The pickle was trusted, and still could not be loaded."""

    default_hint = "run from the folder its classes can be imported from, or save a state dict"


def wanted_names(pickle: bytes) -> tuple[str, ...]:
    """Every object a pickle names beyond those of plain weights, in order, without running it.

    A damaged pickle gives what was read up to the damage. Names that are built at run
    time (memo tricks) show as ``?``.
    """
    names = tuple(dict.fromkeys(f"{module}.{name}" for module, name in names_in(pickle)))
    return tuple(name for name in names if not HARMLESS.fullmatch(name)) or names


def names_in(pickle: bytes) -> Iterator[tuple[str, str]]:
    memo: dict[Any, str] = {}
    recent: list[str] = []
    try:
        for step, (opcode, argument) in enumerate(opcodes(pickle)):
            if step > STEPS_MAX:
                return
            if opcode in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                yield module, name
            elif opcode == "STACK_GLOBAL":
                module, name = recent[-2:] if len(recent) >= 2 else ("?", "?")
                yield module, name
            elif opcode in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                memo[len(memo) if argument is None else argument] = recent[-1] if recent else "?"
            elif opcode in ("GET", "BINGET", "LONG_BINGET"):
                recent.append(str(memo.get(argument, "?")))
            elif isinstance(argument, str):
                recent.append(argument[:200])
            del recent[:-TEXTS_KEPT]
    except ValueError:  # genops meets damage; what came before is what we can tell
        return


def refuse(pickle: bytes, data: bytes) -> PickledModule | OldSave:
    """The refusal for a file whose pickle wants Python objects."""
    if data.startswith(OLD_MAGIC):
        return OldSave()
    return PickledModule(wanted_names(pickle), files.sha256(data))


def check_trust(given: str, data: bytes) -> None:
    """Raise unless ``given`` is the sha256 of ``data``.

    Raises:
        WrongTrust: it is another.
    """
    if given.strip().lower() != (sha256 := files.sha256(data)):
        raise WrongTrust(given, sha256)


def run_trusted(data: bytes) -> Any:
    """Unpickle a file whose sha256 the user has vouched for. This runs the file's code.

    Raises:
        TrustedPickleFailed: it does not load.
    """
    import torch  # reached only on the user's word

    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:  # the pickle's own code may raise anything
        raise TrustedPickleFailed(
            f"the trusted pickle does not load: {type(error).__name__}: {str(error)[:160]}"
        ) from error
    return loaded.state_dict() if isinstance(loaded, torch.nn.Module) else loaded
