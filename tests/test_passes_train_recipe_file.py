"""A recipe as a file: what is written is what is read, whatever the values."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.passes.train.recipe_file import (
    KEYS,
    BadRecipe,
    Key,
    as_toml,
    checked,
    read_recipe,
    template,
)
from tests.shell import ROOT

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBERS = st.one_of(st.integers(-(2**62), 2**62), st.floats(allow_nan=False))
PLAIN = st.recursive(
    st.one_of(NUMBERS, TEXT, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def values_of(key: Key) -> st.SearchStrategy[Any]:
    if isinstance(key.usual, bool):
        return st.booleans()
    if isinstance(key.usual, str):
        _, listed, names = key.wanted.partition("one of ")
        return st.sampled_from(names.split(", ")) if listed else TEXT
    if isinstance(key.usual, int):
        return st.integers(0, 2**62).filter(key.fits)
    if isinstance(key.usual, float):
        small, large = st.floats(1e-300, 0.49), st.floats(1.0, 1e300)
        return small | large.filter(key.fits) if key.fits(2.0) else small
    return st.lists(TEXT, max_size=3)


OWN = st.dictionaries(TEXT.map("network.{}".format), PLAIN, max_size=3)
RECIPES = st.tuples(
    st.fixed_dictionaries({}, optional={key.name: values_of(key) for key in KEYS}), OWN
).map(lambda both: {**both[0], **both[1]})


def flat(told: Mapping[str, Any]) -> dict[str, Any]:
    """Full names: only the top level has sections."""
    found: dict[str, Any] = {}
    for name, value in told.items():
        inner = value.items() if isinstance(value, dict) else None
        found |= {name: value} if inner is None else {f"{name}.{key}": one for key, one in inner}
    return found


def exactly(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Comparable: 1, 1.0 and True are three values, and the order of keys is none."""
    return sorted((name, repr(value)) for name, value in values.items())


@given(RECIPES, st.booleans())
@settings(max_examples=120, deadline=None)
def test_python_reads_from_a_recipe_what_was_written(
    values: dict[str, Any], explained: bool
) -> None:
    told = tomllib.loads(as_toml(values, explained=explained))
    assert exactly(flat(told)) == exactly(values)


@given(OWN)
@settings(max_examples=40, deadline=None)
def test_a_network_alone_is_written_too(values: dict[str, Any]) -> None:
    assert exactly(flat(tomllib.loads(as_toml(values)))) == exactly(values)


@given(RECIPES)
@settings(max_examples=30, deadline=None)
def test_what_fits_is_read_back_as_it_was(values: dict[str, Any]) -> None:
    assert exactly(checked(flat(tomllib.loads(as_toml(values))), "it")) == exactly(values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"arch": "mlp", "network.hidden_sizes": [4]}, "[network]\nhidden_sizes = [4]\n"),
        ({"network.sub": {"a": 1, "b c": "x"}}, 'sub = { a = 1, "b c" = "x" }'),
        ({"network.a.b": 1}, '"a.b" = 1'),
        ({"data": "a\x7fb"}, "a\\u007fb"),
        ({"network.most": math.inf, "network.least": -math.inf}, "most = inf\nleast = -inf"),
        ({"network.none": math.nan}, "none = nan"),
    ],
)
def test_what_json_writes_otherwise_is_written_as_toml(values: dict[str, Any], text: str) -> None:
    told = as_toml(values)
    assert text in told
    assert exactly(flat(tomllib.loads(told))) == exactly(values)


def test_a_date_is_refused_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for line in ("network.since = 1979-05-27", "split.features = [1979-05-27]"):
        path.write_text(f"{line}\n")
        with pytest.raises(BadRecipe, match=line.partition(" ")[0]):
            read_recipe(path)


def test_the_template_is_a_recipe_that_sets_every_key(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(template({"data": "bars.parquet", "network.hidden_sizes": [8]}))
    told = read_recipe(path)
    assert told.keys() == {*(key.name for key in KEYS), "network.hidden_sizes"}
    assert told["data"] == "bars.parquet"


def test_the_reference_names_every_key_with_its_meaning() -> None:
    page = (ROOT / "docs/reference/recipe.md").read_text()
    sections = {part.split("`", 1)[0]: part for part in page.split("## `[")[1:]}
    sections = {name.rstrip("]"): part for name, part in sections.items()}
    missing = [
        key.name
        for key in KEYS
        if not any(
            line.startswith(f"| `{key.name.rpartition('.')[2]}` |")
            and line.endswith(f"| {key.meaning} |")
            for line in sections.get(key.name.rpartition(".")[0], page).splitlines()
        )
    ]
    assert missing == []
