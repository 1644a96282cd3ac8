"""What a graph declares of its inputs and outputs. Torch-free."""

from __future__ import annotations

import onnx
from onnx import ModelProto, ValueInfoProto

from aitrade_cli.model.card import TensorSpec


def input_of(model: ModelProto) -> ValueInfoProto:
    """The one input that is no weight."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in weights)


def shape_of(value: ValueInfoProto) -> tuple[int | str, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or f"axis{index}"
        for index, axis in enumerate(dims)
    )


def input_shape(model: ModelProto) -> tuple[int | str, ...]:
    """A string names a free axis."""
    return shape_of(input_of(model))


def declare(model: ModelProto, shape: tuple[int | str, ...]) -> None:
    """Say what the input takes; the outputs' first axis follows its batch."""
    set_shape(input_of(model), shape)
    for value in model.graph.output:
        rest = shape_of(value)[1:]
        set_shape(value, (shape[0], *rest))


def set_shape(value: ValueInfoProto, shape: tuple[int | str, ...]) -> None:
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, shape))


def specs(model: ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs as a card states them."""
    outputs = tuple(TensorSpec(value.name, shape_of(value)) for value in model.graph.output)
    value = input_of(model)
    return (TensorSpec(value.name, shape_of(value)),), outputs
