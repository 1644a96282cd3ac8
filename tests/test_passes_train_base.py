"""A base model in `aitrade train`: what it has seen judges nothing, and the history is its own."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.files import sha256
from aitrade_cli.model.artefact import dump
from aitrade_cli.model.loading import load
from aitrade_cli.passes.train.prepare import prepare, resolved
from aitrade_cli.passes.train.run import train_here as train
from aitrade_cli.passes.train.seen import SeenBefore
from aitrade_cli.passes.train.settings import Settings, settings_of
from aitrade_cli.training.checkpoints.folder import OtherRun
from tests.test_passes_train_tuning import FLAGS


def asked(base: Path | None = None, run_dir: Path | None = None, **details: Any) -> Settings:
    flags = {name.replace("__", "."): value for name, value in details.items()}
    own = {"arch"} if base else set()
    usual = {name: value for name, value in FLAGS.items() if name not in own}
    where = None if base is None else str(base)
    return settings_of(None, {**usual, **flags}, base=where, run_dir=run_dir, force=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another architecture and window than a recipe's usual ones; 256 bars judge it."""
    path = tmp_path_factory.mktemp("base") / "first.pt"
    small = {"arch": "gru", "network__hidden_sizes": [4], "training__epochs": 1}
    path.write_bytes(train(asked(split__test_rows=256, **small), path.name).data)
    return path


def test_a_base_that_learned_from_the_test_part_is_refused_with_what_would_be_left(
    base: Path,
) -> None:
    with pytest.raises(SeenBefore, match="it would not be untouched") as refused:
        prepare(asked(base, split__test_rows=600))
    found = re.search(r"test_rows = (\d+)", refused.value.hint)
    assert found is not None
    most = int(found[1])
    assert most >= 256
    prepare(asked(base, split__test_rows=most))
    with pytest.raises(SeenBefore):
        prepare(asked(base, split__test_rows=most + 1))


def test_a_base_that_knows_nearly_all_bars_asks_for_newer_ones(base: Path) -> None:
    artefact = load(base.read_bytes())
    assert artefact.card.sample is not None
    last = int(artefact.card.sample.series.timestamp_ns[-1])
    late = base.with_name("late.pt")
    late.write_bytes(dump(replace(artefact, card=replace(artefact.card, trained_until_ns=last))))
    with pytest.raises(SeenBefore) as refused:
        prepare(asked(late))
    assert refused.value.hint == SeenBefore.default_hint


def test_an_earlier_fold_that_the_base_learned_from_is_left_out_aloud(base: Path) -> None:
    assert len(prepare(asked(split__folds=2)).split.earlier) == 1
    split = prepare(asked(base, split__folds=2, split__test_rows=200)).split
    assert split.earlier == ()
    assert "1 of 1 earlier folds are left out" in split.notes[0]


def test_what_was_seen_only_grows(base: Path) -> None:
    before = load(base.read_bytes()).card.trained_until_ns
    made = train(asked(base, split__test_rows=256, split__embargo=66), "second.pt")
    card = load(made.data).card
    assert before is not None
    assert made.report.notes[0].startswith("the base model knows bars up to")
    assert card.trained_until_ns == before
    assert prepare(asked(split__test_rows=256, split__embargo=66)).split.until_ns < before


def test_a_base_whose_bars_are_not_known_is_told(base: Path) -> None:
    artefact = load(base.read_bytes())
    strange = base.with_name("strange.pt")
    strange.write_bytes(dump(replace(artefact, card=replace(artefact.card, trained_until_ns=None))))
    assert "is not known" in prepare(asked(strange)).split.notes[0]
    assert prepare(asked()).split.notes == ()


def test_the_resolved_recipe_is_that_of_the_network_that_was_trained(base: Path) -> None:
    ready = prepare(asked(base, split__window=32, network__hidden_sizes=[9]))
    told = resolved(ready)
    assert (told["arch"], told["split.window"]) == ("gru", 8)
    assert told["network.hidden_sizes"] == [4]
    assert told["split.features"] == list(ready.parts.preprocessing.features)
    assert not {"network.features", "network.classes"} & told.keys()


def test_a_model_without_a_name_is_called_after_its_base(base: Path) -> None:
    assert asked(base).named_after == (str(base), ".trained.pt")
    assert asked().named_after == ("mlp", ".pt")


def test_a_run_folder_keeps_the_bytes_of_its_own_base_and_no_other_run_s(
    base: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    short = {"training__epochs": 1, "split__test_rows": 256}
    made = train(asked(base, run, **short), "a.pt")
    assert sha256((run / "base.pt").read_bytes()) == sha256(base.read_bytes())
    again = train(settings_of(None, {}, resume=str(run)), "a.pt")
    assert again.data == made.data
    told = load(again.data).card.history[-1]
    assert told.parent_sha256 == sha256(base.read_bytes())
    assert tomllib.loads(told.settings["file"])["arch"] == "gru"
    other = load(base.read_bytes())
    (run / "base.pt").write_bytes(dump(replace(other, card=replace(other.card, history=()))))
    with pytest.raises(OtherRun, match="of a run with base"):
        train(settings_of(None, {}, resume=str(run)), "a.pt")
    train(asked(None, run, **short), "b.pt")
    assert not (run / "base.pt").exists()
    assert settings_of(None, {}, resume=str(run)).base is None
