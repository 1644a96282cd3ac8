"""Padding that an exporter wrote as a node of its own goes into the convolution behind it."""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, NodeProto, helper

from aitrade_cli.model.onnx_graph import (
    arrays,
    attribute,
    consumers,
    outputs_of,
    remove_dead,
)


def fold_padding(graph: GraphProto) -> int:
    """Merge zero padding of the axes that a convolution slides over, in place.

    Fewer passes over memory, and one thing less between two INT8 convolutions.

    Returns:
        How many nodes are gone.
    """
    values, readers, final = arrays(graph), consumers(graph), outputs_of(graph)
    folded = 0
    for node in graph.node:
        ends = padding_of(node, values)
        behind = readers[node.output[0]] if ends is not None else []
        alone = bool(behind) and node.output[0] not in final
        if ends is None or not alone or not all(slides(conv, node, ends) for conv in behind):
            continue
        for conv in behind:
            add_padding(conv, ends)
            conv.input[0] = node.input[0]
        folded += 1
    if folded:
        remove_dead(graph)
    return folded


def padding_of(node: NodeProto, values: dict[str, np.ndarray]) -> list[int] | None:
    """Zeros before and after each axis, ONNX's way; None where it is no plain zero padding."""
    if node.op_type != "Pad" or attribute(node, "mode", "constant") != "constant":
        return None
    named = [*node.input, "", "", ""][1:4]
    if named[0] not in values or named[2]:
        return None
    if named[1] and (named[1] not in values or np.any(values[named[1]] != 0)):
        return None
    ends = values[named[0]].tolist()
    return ends if min(ends) >= 0 else None


def slides(conv: NodeProto, pad: NodeProto, ends: list[int]) -> bool:
    """The convolution slides over every axis that is padded, and says its own padding."""
    if conv.op_type != "Conv" or conv.input[0] != pad.output[0]:
        return False
    rank = len(ends) // 2
    plain = attribute(conv, "auto_pad", "NOTSET") in ("NOTSET", "")
    outer = [*ends[:2], *ends[rank : rank + 2]]  # batch and channels
    return plain and not any(outer)


def add_padding(conv: NodeProto, ends: list[int]) -> None:
    rank = len(ends) // 2
    more = [*ends[2:rank], *ends[rank + 2 :]]
    before = attribute(conv, "pads", [0] * len(more))
    total = [old + new for old, new in zip(before, more, strict=True)]
    kept = [item for item in conv.attribute if item.name != "pads"]
    del conv.attribute[:]
    conv.attribute.extend([*kept, helper.make_attribute("pads", total)])
