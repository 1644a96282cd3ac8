"""Compiled loops: the same answer with and without a place to keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aitrade_cli.system import compiled
from aitrade_cli.system.compiled import kernel


def total(values: np.ndarray) -> float:
    found = 0.0
    for k in range(len(values)):
        found += values[k]
    return found


def test_where_no_folder_takes_the_code_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []
    whole = compiled.njit

    def refusing(**options: Any) -> Callable[..., Any]:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available for file")
        return whole(**options)

    monkeypatch.setattr(compiled, "njit", refusing)
    assert kernel(total)(np.arange(5.0)) == 10.0
    assert [options.get("cache", False) for options in asked] == [True, False]
