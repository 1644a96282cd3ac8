"""Spoil an ONNX file field by field: it stays well-formed, so that it gets past the parser."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import onnx

TEXTS: Final = (
    "",
    "my.ops",
    "Steal",
    "../secret",
    "a\x00b",
    "aitrade",
    "If",
    "\x1b[31m",
    "[" * 9999,
)


def spoil_field(model: onnx.ModelProto, random: Random) -> bool:
    """Change one field somewhere in the model; False where it has none."""
    places = [(message, field) for message in messages(model) for field, _ in message.ListFields()]
    if not places:
        return False
    message, field = random.choice(places)
    others = [other for other, _ in places if type(other) is type(message)]
    if random.random() < 0.2:
        other = random.choice(others).SerializeToString()
        message.CopyFrom(type(message).FromString(other))
    elif field.is_repeated:
        spoil_list(message, field, random)
    elif field.message_type is not None:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, odd_value(field, random))
    return True


def spoil_list(message: Any, field: Any, random: Random) -> None:
    items = getattr(message, field.name)
    if random.random() < 0.5:
        del items[random.randrange(len(items))]
    elif field.message_type is not None:
        items.add().CopyFrom(random.choice(list(items)))
    else:
        items.append(odd_value(field, random))


def odd_value(field: Any, random: Random) -> Any:
    if field.enum_type is not None:
        return random.choice([value.number for value in field.enum_type.values])
    if field.cpp_type == field.CPPTYPE_STRING:
        text = random.choice(TEXTS)
        return text.encode() if field.type == field.TYPE_BYTES else text
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice((0.0, -1.0, float("nan"), float("inf")))
    wide = 63 if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64) else 31
    return random.choice((0, 1, -1, 7, (1 << wide) - 1))


def messages(message: Any) -> list[Any]:
    """The message and all inside it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                found += messages(inner)
    return found
