"""What cannot be meant is said before anything is read."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.model.quantization.calibration import Method
from aitrade_cli.passes.quantize.settings import (
    FLIPS_WITHOUT_BUDGET,
    Bits,
    Settings,
    bits_of,
    kinds_of,
    method_of,
)

flags = st.fixed_dictionaries({name: st.booleans() for name in get_args(Bits)})


@given(flags)
def test_one_width_and_no_more_is_asked_for(asked: dict[str, bool]) -> None:
    named = [name for name, wanted in asked.items() if wanted]
    if len(named) == 1:
        assert bits_of(**asked) == named[0]
        return
    with pytest.raises(Usage) as caught:
        bits_of(**asked)
    assert caught.value.exit_code == 2
    assert all(f"`--{name}`" in str(caught.value) for name in named)
    assert named or "none of them" in str(caught.value)


@pytest.mark.parametrize(
    ("dynamic", "static", "kinds"),
    [
        (False, False, {"dynamic", "static"}),
        (True, False, {"dynamic"}),
        (False, True, {"static"}),
        (True, True, {"dynamic", "static"}),
    ],
)
def test_int8_builds_what_was_named_or_both(dynamic: bool, static: bool, kinds: set[str]) -> None:
    assert kinds_of("int8", dynamic=dynamic, static=static) == kinds


@pytest.mark.parametrize("bits", ["int4", "fp16", "bf16"])
@pytest.mark.parametrize("named", [{"dynamic": True}, {"static": True}])
def test_static_and_dynamic_go_with_int8_only(bits: Bits, named: dict[str, bool]) -> None:
    with pytest.raises(Usage, match="go with `--int8`"):
        kinds_of(bits, **{"dynamic": False, "static": False, **named})


@pytest.mark.parametrize("word", ["min-max", "percentile", "entropy"])
def test_every_calibration_method_is_known_by_its_name(word: str) -> None:
    assert method_of(word) == word


@pytest.mark.parametrize("word", ["", "minmax", "MIN-MAX", "mse"])
def test_a_calibration_method_that_there_is_not_is_quoted(word: str) -> None:
    with pytest.raises(Usage, match=f"called `{word}`") as caught:
        method_of(word)
    assert all(method in caught.value.hint for method in get_args(Method))


def test_flips_while_choosing_follow_the_budget() -> None:
    assert Settings().flips_allowed == FLIPS_WITHOUT_BUDGET == 0.01
    assert Settings(budget=Budget(max_flips=0.0)).flips_allowed == 0.0
    assert Settings(budget=Budget(max_flips=0.2)).flips_allowed == 0.2


def test_history_tells_what_makes_the_result() -> None:
    told = Settings(seed=7, symbol="SPX", per_channel=False).as_history()
    assert told == {
        "bits": "int8",
        "kinds": ["dynamic", "static"],
        "calibration": "min-max",
        "per_channel": False,
        "data": None,
        "symbol": "SPX",
        "flips_allowed": 0.01,
        "seed": 7,
    }
