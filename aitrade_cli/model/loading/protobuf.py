"""How many messages an ONNX file would become, counted before any is built.

An empty message takes two bytes in the file and a hundred in memory, so a file within
the size limit could still fill the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aitrade_cli.errors import BadInput
from aitrade_cli.model.loading.limits import Limits, TooLarge

Schema = dict[int, str]  # field number -> message type, where the field holds a message
# From onnx.proto; what is not listed holds numbers, text or weights.
MESSAGES: Final[dict[str, Schema]] = {
    "Model": {7: "Graph", 8: "Leaf", 14: "Leaf", 20: "Training", 25: "Function", 26: "Leaf"},
    "Training": {1: "Graph", 2: "Graph", 3: "Leaf", 4: "Leaf"},
    "Graph": {
        1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value", 14: "Quantization",
        15: "Sparse", 16: "Leaf",
    },
    "Function": {7: "Node", 9: "Leaf", 11: "Attribute", 12: "Value", 14: "Leaf"},
    "Node": {5: "Attribute", 9: "Leaf", 10: "Devices"},
    "Attribute": {
        5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 14: "Type", 15: "Type", 22: "Sparse",
        23: "Sparse",
    },
    "Tensor": {3: "Leaf", 13: "Leaf", 16: "Leaf"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Quantization": {2: "Leaf"},
    "Value": {2: "Type", 4: "Leaf"},
    "Type": {1: "Shaped", 4: "Holder", 5: "Holder", 8: "Shaped", 9: "Holder"},
    "Holder": {1: "Type", 2: "Type"},
    "Shaped": {2: "Shape"},
    "Shape": {1: "Leaf"},
    "Devices": {2: "Sharding"},
    "Sharding": {4: "Sharded", 2: "Leaf", 3: "Leaf"},
    "Sharded": {2: "Leaf"},
    "Leaf": {},
}  # fmt: skip
NESTING_MAX: Final = 90  # protobuf itself stops at 100
SKIPPED: Final = {1: 8, 5: 4}  # wire type -> bytes


class BadProtobuf(BadInput):
    """The bytes are no protobuf message."""

    default_hint = "export the model again: `aitrade export-onnx MODEL -o model.onnx`"


def text(value: str | bytes) -> str:
    """A text field. Protobuf hands out bytes where they are no UTF-8.

    Raises:
        BadProtobuf: they are none.
    """
    if isinstance(value, str):
        return value
    raise BadProtobuf(f"a name in the graph is no text: `{value[:40]!a}`")


def count_messages(data: bytes, limits: Limits) -> int:
    """Walk the message tree of a ModelProto without building it.

    Raises:
        BadProtobuf: a length or a tag leads past the end, or messages nest too deep.
        TooLarge: more than ``limits.fields`` fields or ``limits.messages`` messages.
    """
    count = steps = 0
    waiting = [("Model", 0, len(data), 0)]
    while waiting:
        kind, start, end, depth = waiting.pop()
        if depth > NESTING_MAX:
            raise BadProtobuf(f"messages are nested deeper than {NESTING_MAX} levels")
        for number, begin, stop in fields(data, start, end):
            inner = MESSAGES[kind].get(number)
            steps += 1
            count += inner is not None
            if steps > limits.fields or count > limits.messages:
                raise TooLarge(f"the graph has more than {limits.messages} parts")
            if inner is not None and inner != "Leaf":
                waiting.append((inner, begin, stop, depth + 1))
    return count


def fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each field as (number, start, end). Only those of wire type 2 can be messages."""
    while position < end:
        tag, position = varint(data, position, end)
        wire = tag & 7
        if wire == 0:
            _, position = varint(data, position, end)
            yield 0, position, position
        elif wire == 2:
            length, position = varint(data, position, end)
            if length > end - position:
                raise BadProtobuf("the file ends inside a message")
            yield tag >> 3, position, position + length
            position += length
        elif wire in SKIPPED:
            position += SKIPPED[wire]
            yield 0, position, position
        else:
            raise BadProtobuf(f"the file is no ONNX: wire type {wire}")


def varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise BadProtobuf("the file ends inside a message")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise BadProtobuf("the file is no ONNX: a number has no end")
