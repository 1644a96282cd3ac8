"""Two artefacts can be compared only where the same bars mean the same input to both."""

from __future__ import annotations

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.model.card import Card, Preprocessing, Sample


class InputsDiffer(BadInput):
    """The two models do not take the same input."""

    default_hint = "compare a model with one made from it, or trained on the same features"

    def __init__(self, before_name: str, after_name: str, difference: str) -> None:
        super().__init__(f"`{before_name}` and `{after_name}` take different inputs: {difference}")


class SampleLeaks(BadInput):
    """Bars that may be learned from are also judged on."""

    default_hint = "split anew: evaluation must start after the last calibration row"

    def __init__(self, calibration_rows: int, evaluation_row: int) -> None:
        super().__init__(
            f"calibration takes rows up to {calibration_rows},"
            f" evaluation starts at row `{evaluation_row}`"
        )


def require_same_inputs(before: Card, after: Card, before_name: str, after_name: str) -> None:
    """Raise unless both take the same windows of the same, equally prepared features.

    A free axis fits a fixed one: what that costs is for parity to find.

    Args:
        before: card of the original.
        after: card of the changed, or the other, model.
        before_name: file name for the message.
        after_name: file name for the message.

    Raises:
        InputsDiffer: features, window, type or preparation differ; both files are named.
        UnknownInput: one of them does not take one window [batch, time, feature].
    """
    difference = _difference(before, after)
    if difference:
        raise InputsDiffer(before_name, after_name, difference)


def require_no_leak(sample: Sample) -> None:
    """Raise where calibration reaches into the bars that are judged.

    Raises:
        SampleLeaks: it does.
    """
    if sample.calibration_rows > sample.evaluation_row:
        raise SampleLeaks(sample.calibration_rows, sample.evaluation_row)


def _difference(before: Card, after: Card) -> str | None:
    first, second = input_shape(before), input_shape(after)
    if first.features != second.features:
        return f"{first.features} features and {second.features} features"
    if before.inputs[0].dtype != after.inputs[0].dtype:
        return f"{before.inputs[0].dtype} and {after.inputs[0].dtype}"
    for axis in ("batch", "time"):
        one, two = getattr(first, axis), getattr(second, axis)
        if None not in (one, two) and one != two:
            return f"the {axis} axis is {one} and {two}"
    if before.window and after.window and before.window != after.window:
        return f"windows of {before.window} and {after.window} bars"
    if before.preprocessing is None or after.preprocessing is None:
        return None
    return _prepared_differently(before.preprocessing, after.preprocessing)


def _prepared_differently(first: Preprocessing, second: Preprocessing) -> str | None:
    for name in first.features:
        if name not in second.features:
            return f"only the first reads `{name}`"
    for name in second.features:
        if name not in first.features:
            return f"only the second reads `{name}`"
    if first.features != second.features:
        return "the same features in another order"
    if (first.mean, first.std) != (second.mean, second.std):
        return "the features are normalised by other means and deviations"
    if first.clip != second.clip:
        return f"features are clipped at {first.clip:g} and {second.clip:g}"
    return None
