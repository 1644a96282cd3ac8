"""What a taught model's card and history say of the bars it was taught on."""

from __future__ import annotations

from dataclasses import replace

from aitrade_cli.model.card import Step
from aitrade_cli.passes.sample import gather
from aitrade_cli.passes.taught import is_after, taught_card, taught_on
from aitrade_cli.training.history import bars_of
from aitrade_cli.training.material import material_of
from tests.passes_cases import BARS, torch_model


def test_what_was_seen_grows_and_the_sample_inside_stays_unseen() -> None:
    card = torch_model().card
    evidence = gather(card, str(BARS), None)
    material = material_of(card, str(BARS))
    until = material.trained_until_ns
    for known in (None, until - 1, until, until + 1):
        found = taught_card(replace(card, trained_until_ns=known), material, evidence)
        assert found.trained_until_ns == max(until, known or until)
        assert found.sample is not None
        assert is_after(found.sample, until)
    assert evidence.sample is not None
    late = replace(material, trained_until_ns=int(evidence.sample.series.timestamp_ns[-1]))
    assert taught_card(card, late, evidence).sample is None


def test_the_newest_taught_step_names_the_bars() -> None:
    card = torch_model().card
    material = material_of(card, str(BARS))
    told = taught_on(material, str(BARS))
    assert told == {"bars": str(BARS), "bars_sha256": material.bars_sha256, "symbol": None}
    older = Step("train", {"bars": "gone.parquet", "bars_sha256": "0" * 64}, {}, {}, None)
    newer = replace(older, command="prune", settings=told)
    assert bars_of(replace(card, history=(older, newer))).source_sha256 == material.bars_sha256
    again = material_of(replace(card, history=(older, newer), sample=None), None)
    assert taught_on(again, None) == told
