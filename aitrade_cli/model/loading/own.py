"""Our own part of a file: is it ours, is it new, and is every piece of the right type."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import FORMAT
from aitrade_cli.model.card import Card
from aitrade_cli.model.card_data import BadCard, card_from_dict
from aitrade_cli.model.loading.limits import Limits, check_text

if TYPE_CHECKING:
    import torch

DEPTH_MAX: Final = 64
SAMPLE_SLACK_BYTES: Final = 64 << 20
SAMPLE_RATIO: Final = 1000  # real bars pack to a half; a constant price packs to this at best


class NewerFormat(BadInput):
    """A later aitrade wrote this file."""

    default_hint = "update aitrade: `pip install --upgrade aitrade-cli`"

    def __init__(self, number: int) -> None:
        super().__init__(f"the artefact has format `{number}`, this aitrade reads up to `{FORMAT}`")


def is_own(value: Any) -> bool:
    """True where a saved object says that it is an artefact."""
    return isinstance(value, dict) and "format" in value and "state_dict" in value


def card_of(value: Mapping[str, Any], as_bytes: Callable[[Any], bytes | None]) -> Card:
    """The card among an artefact's parts.

    Args:
        value: the parts, as plain data.
        as_bytes: gives the bytes where a value stands for bytes, else `None`.

    Raises:
        NewerFormat: a later aitrade wrote it.
        BadCard: a part is missing, has the wrong type, or is no plain data; it is named.
    """
    number = value.get("format")
    if type(number) is not int or number < 1:
        raise BadCard(f"`format` is {number!r:.40}, wanted a number from 1")
    if number > FORMAT:
        raise NewerFormat(number)
    parts = {key: part for key, part in value.items() if key not in ("format", "state_dict")}
    # Only the sample holds bytes; a setting that looks like packed bytes is what it is.
    readers = {"sample": as_bytes}
    plain_parts = {key: plain(part, readers.get(key, no_bytes), key) for key, part in parts.items()}
    check_sample(plain_parts.get("sample"))
    return card_from_dict(plain_parts)


def check_sample(sample: Any) -> None:
    # zstd takes the memory that is announced, before a byte of it is unpacked.
    if not isinstance(sample, dict):
        return
    rows, columns = sample.get("rows"), sample.get("columns")
    packed = sum(len(part) for part in sample.values() if isinstance(part, bytes))
    if type(rows) is int and type(columns) is int:
        announced = 8 * rows * max(columns, 1)
        if announced > SAMPLE_SLACK_BYTES + SAMPLE_RATIO * packed:
            raise BadCard(f"{packed} bytes cannot hold a sample of {rows} rows, {columns} features")


def no_bytes(_: Any) -> None:
    """Nothing here stands for bytes."""


def plain(value: Any, as_bytes: Callable[[Any], bytes | None], key: str, depth: int = 0) -> Any:
    if depth > DEPTH_MAX:
        raise BadCard(f"`{key}` is nested deeper than {DEPTH_MAX} levels")
    if (content := as_bytes(value)) is not None:
        return content
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise BadCard(f"`{key}` has a key that is not text")
        return {name: plain(item, as_bytes, name, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, as_bytes, key, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadCard(f"`{key}` holds a {type(value).__name__}, which is no plain data")


def bytes_of_tensor(value: Any) -> bytes | None:
    """The bytes that `dump` stored as a `uint8` tensor."""
    import torch  # reached only from a `.pt`, whose reader has loaded it

    if not isinstance(value, torch.Tensor):
        return None
    if value.dtype != torch.uint8 or value.dim() != 1:
        raise BadCard(f"a tensor of {value.dtype} stands where packed bytes are wanted")
    return value.numpy().tobytes()


def bytes_of_base64(value: Any) -> bytes | None:
    """The bytes that JSON holds as ``{"base64": …}``."""
    if not (isinstance(value, dict) and set(value) == {"base64"}):
        return None
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadCard(f"packed bytes are damaged: {error}") from error


def card_of_text(text: str | bytes, limits: Limits) -> Card:
    """The card from its JSON.

    Raises:
        NewerFormat, BadCard: as `card_of`.
        TooLarge: it is longer than ``limits.text_bytes``.
    """
    check_text("the card", text, limits)
    try:
        value = json.loads(text)
    # RecursionError: brackets nested thousands deep. ValueError: no JSON, no UTF-8.
    except (ValueError, RecursionError) as error:
        raise BadCard(f"the card is no JSON: {str(error)[:100]}") from error
    if not isinstance(value, dict):
        raise BadCard(f"the card is a {type(value).__name__}, wanted a table")
    return card_of({**value, "state_dict": None}, bytes_of_base64)


def weights_of(value: Any) -> dict[str, torch.Tensor]:
    """A state dict, bare or below ``state_dict`` or ``model_state_dict`` as trainers write it.

    Raises:
        BadCard: it is not a table of named tensors; the first that is not is named.
    """
    import torch  # reached only from a `.pt`, whose reader has loaded it

    for wrapper in ("state_dict", "model_state_dict"):
        if isinstance(value, dict) and isinstance(value.get(wrapper), dict):
            value = value[wrapper]
            break
    if not isinstance(value, dict) or not value:
        raise BadCard(f"the file holds a {type(value).__name__}, wanted named tensors")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise BadCard(f"`{str(name)[:80]}` is a {type(tensor).__name__}, wanted a tensor")
    return value
