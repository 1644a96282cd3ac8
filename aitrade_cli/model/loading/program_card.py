"""What an exported program tells of itself: its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aitrade_cli.model.card import Card, TensorSpec
from aitrade_cli.model.loading.program_json import BadProgram

DTYPES: Final = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 12: "bool", 13: "bfloat16",
}  # fmt: skip
AXES: Final = ("batch", "time")  # names for free axes by their place, as everywhere in aitrade


def card_of_program(program: Mapping[str, Any]) -> Card:
    """The user's inputs and outputs with their shapes; other parts of the card stay empty.

    Raises:
        BadProgram: the signature has no proper form.
    """
    try:
        graph, signature = (program["graph_module"][key] for key in ("graph", "signature"))
        inputs = names(signature["input_specs"], "user_input")
        outputs = names(signature["output_specs"], "user_output")
        values = graph["tensor_values"]
        return Card(
            inputs=tuple(spec(name, values[name]) for name in inputs),
            outputs=tuple(spec(name, values[name]) for name in outputs),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadProgram("the exported program has no proper signature") from error


def names(specs: list[Any], kind: str) -> list[str]:
    arguments = [entry[kind]["arg"] for entry in specs if kind in entry]
    return [argument["as_tensor"]["name"] for argument in arguments if "as_tensor" in argument]


def spec(name: str, meta: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(axis(index, size) for index, size in enumerate(meta["sizes"]))
    return TensorSpec(name, shape, DTYPES.get(meta["dtype"], f"torch{meta['dtype']}"))


def axis(index: int, size: Mapping[str, Any]) -> int | str:
    if isinstance(size.get("as_int"), int):
        return size["as_int"]
    return AXES[index] if index < len(AXES) else f"axis{index}"
