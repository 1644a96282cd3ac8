"""From one artefact to a narrower or sparser one, its verdict inside; latencies are planted."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from pyarrow import parquet

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.architectures import create
from aitrade_cli.model.artefact import Artefact, TorchWeights
from aitrade_cli.model.card_data import card_to_dict
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.passes.prune.job import NotPrunable
from aitrade_cli.passes.prune.pictures import figure_of
from aitrade_cli.passes.prune.report import PruneReport
from aitrade_cli.passes.prune.run import PrunedArtefact, prune_artefact
from aitrade_cli.passes.prune.settings import Settings, settings_of
from aitrade_cli.passes.quantize.run import quantize_artefact
from aitrade_cli.passes.quantize.settings import Settings as QuantizeSettings
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.training.history import NoTrainingBars
from tests.passes_cases import BARS, bars_inside, onnx_model, plant, torch_model

HALF = Settings(structured=0.5)
TAUGHT = Settings(structured=0.5, finetune=True, rounds=2, epochs=3)
CUBIC = Settings(sparsity=0.75, finetune=True, schedule="cubic", epochs=4, per_layer=True)


@pytest.fixture(scope="module")
def few_bars(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Enough to train a toy and to judge it."""
    path = tmp_path_factory.mktemp("bars") / "few.parquet"
    parquet.write_table(parquet.read_table(BARS).slice(0, 3_300), path)
    return str(path)


def pruned(settings: Settings, source: Artefact | None = None) -> PrunedArtefact:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, {"before": 900.0, "after": 300.0})
        return prune_artefact(source or torch_model(), settings, "tiny.pruned.pt")


@cache
def half() -> PrunedArtefact:
    return pruned(HALF)


@pytest.fixture(scope="module")
def taught(few_bars: str) -> PrunedArtefact:
    return pruned(replace(TAUGHT, data=few_bars))


def told_of(artefact: Artefact) -> dict[str, object]:
    """All but what teaching moves on."""
    moved = ("trained_until_ns", "sample")
    return {k: v for k, v in parts_of(artefact).items() if k not in moved}


def parts_of(artefact: Artefact) -> dict[str, object]:
    return {k: v for k, v in card_to_dict(artefact.card).items() if k not in ("history", "arch")}


def test_the_file_loads_and_says_all_that_the_source_said(taught: PrunedArtefact) -> None:
    for made in (half(), taught):
        read = load(made.data, name="tiny.pruned.pt")
        assert isinstance(read.network, TorchWeights)
        assert told_of(read) == told_of(torch_model())
        left = sum(value.numel() for value in build(read).parameters())
        assert left == made.report.parameters_after


def test_what_was_taught_is_remembered(taught: PrunedArtefact, few_bars: str) -> None:
    card, before = load(taught.data).card, torch_model().card
    assert card.trained_until_ns is not None
    assert card.trained_until_ns >= (before.trained_until_ns or 0)
    assert card.sample is not None
    assert card.sample.evaluation.timestamp_ns[0] > card.trained_until_ns
    assert card.history[-1].settings["bars"] == few_bars
    assert load(half().data).card.trained_until_ns == before.trained_until_ns


def test_the_dense_parent_is_untouched() -> None:
    source = torch_model()
    assert isinstance(source.network, TorchWeights)
    before = {name: value.clone() for name, value in source.network.state_dict.items()}
    pruned(HALF, source)
    assert all(source.network.state_dict[name].equal(value) for name, value in before.items())


def test_counts_are_those_of_the_networks() -> None:
    report = half().report
    first, second = (line.after for line in report.layers[::-1])
    assert first + second == 28  # of 32 and 24
    # 8 steps of 4 features in, three classes out.
    assert report.parameters_before == 32 * 32 + 32 + 32 * 24 + 24 + 24 * 3 + 3
    assert report.parameters_after == (32 + 1) * first + (first + 1) * second + (second + 1) * 3
    assert report.macs_before == 32 * 32 + 32 * 24 + 24 * 3
    assert report.macs_after == 32 * first + first * second + second * 3
    assert report.weight_bytes_after == 4 * report.parameters_after
    assert report.zeros == 0


def test_history_names_settings_and_verdict() -> None:
    step = load(half().data).card.history[-1]
    assert step.command == "prune"
    assert step.settings == HALF.as_history()
    assert step.measurements["verdict"] == half().report.equivalence.verdict
    assert step.measurements["parameters"] == [
        half().report.parameters_before,
        half().report.parameters_after,
    ]


def test_both_batches_are_timed() -> None:
    assert [pace.batch for pace in half().report.paces] == [1, 256]
    assert half().report.pace(256).speedup == pytest.approx(3.0, rel=0.05)


def test_training_is_told_round_by_round_and_brings_decisions_back(
    taught: PrunedArtefact,
) -> None:
    rounds = taught.report.rounds
    assert [line.number for line in rounds] == [1, 2]
    assert rounds[-1].share == pytest.approx(0.5)
    assert all(line.epochs >= 1 for line in rounds)
    last = rounds[-1]
    assert last.flips_before is not None
    assert last.flips_after is not None
    assert last.flips_after < last.flips_before
    assert any(note.startswith("trained on: ") for note in taught.report.notes)


def test_the_same_seed_gives_the_same_bytes(taught: PrunedArtefact, few_bars: str) -> None:
    again = pruned(replace(TAUGHT, data=few_bars))
    assert again.data == taught.data
    assert to_data(again.report) == to_data(taught.report)


def test_without_bars_to_train_on_nothing_is_begun() -> None:
    with pytest.raises(NoTrainingBars):
        pruned(TAUGHT)


def test_without_any_bars_the_report_says_how_units_were_ranked() -> None:
    source = torch_model()
    bare = replace(source, card=replace(source.card, sample=None))
    report = pruned(HALF, bare).report
    assert report.ranking == "magnitude"
    assert any("no bars to rank on" in note for note in report.notes)
    assert report.equivalence.gate("decisions").status == "not_run"


def test_a_mask_was_asked_for_and_gains_nothing() -> None:
    made = pruned(Settings(sparsity=0.5))
    with_zeros = build(load(made.data))
    zeros = sum(int((value == 0).sum()) for value in with_zeros.parameters())
    assert made.report.zeros == zeros == (32 * 32 + 32 * 24 + 24 * 3) // 2
    assert made.report.sparsity == zeros / 1_923
    assert made.report.weight_bytes_after == made.report.weight_bytes_before
    assert made.report.compressed_bytes_after < made.report.compressed_bytes_before
    assert any(note.startswith("no gain on CPU") for note in made.report.notes)


def test_a_mask_that_is_no_faster_passes_with_the_verdict_no_gain() -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, {"before": 900.0, "after": 900.0})
        report = prune_artefact(torch_model(), Settings(pattern=(2, 4)), "tiny.pruned.pt").report
    assert report.passed
    assert report.equivalence.gate("gain").status == "informed"
    assert "no gain" in report.equivalence.verdict
    assert report.zeros == (32 * 32 + 32 * 24 + 24 * 3) // 2


def test_a_cubic_schedule_arrives_at_the_sparsity_asked_for(few_bars: str) -> None:
    made = pruned(replace(CUBIC, data=few_bars))
    assert [line.after / line.before for line in made.report.layers] == [0.25, 0.25, 0.25]
    assert made.report.rounds[0].epochs >= 3  # three quarters of four
    zeros = [float((value == 0).float().mean()) for value in build(load(made.data)).parameters()]
    assert [share for share in zeros if share] == [0.75, 0.75, 0.75]


def test_a_graph_is_refused_with_its_parent_named() -> None:
    with pytest.raises(NotPrunable, match="ONNX graph") as caught:
        pruned(HALF, onnx_model())
    assert caught.value.exit_code == 4
    assert "prune the" in caught.value.hint


def test_what_is_pruned_can_be_quantized() -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        settings = QuantizeSettings(kinds=frozenset(("dynamic",)))
        made = quantize_artefact(load(half().data, name="tiny.pruned.pt"), settings, "tiny.onnx")
    assert [step.command for step in load(made.data).card.history][-2:] == ["prune", "quantize"]


def test_the_report_is_drawn_as_text_and_as_a_picture() -> None:
    stream = io.StringIO()
    draw(view(half().report), stream)
    text = stream.getvalue()
    assert "Windows a second" in text
    assert "units removed" in text
    figure = figure_of(half().report, half().equities)
    assert [panel.title for panel in figure.panels][-2:] == [
        "What each layer kept",
        "Importance that is left",
    ]


def test_the_shipped_file_computes_what_was_judged() -> None:
    _, sample = bars_inside()
    windows = torch.from_numpy(np.ascontiguousarray(sample.evaluation.windows(8)))
    networks = [build(one).eval() for one in (load(half().data), torch_model())]
    with torch.inference_mode():
        one, other = (network(windows).argmax(dim=1) for network in networks)
    found = half().report.equivalence.decisions
    assert found is not None
    assert found.agreement == pytest.approx(float((one == other).float().mean()))


WRONG: list[tuple[dict[str, object], str]] = [
    ({}, "found none of them"),
    ({"structured": 0.5, "sparsity": 0.5}, "`--structured` and `--sparsity`"),
    ({"structured": 0.0}, "wanted a share"),
    ({"sparsity": 1.0}, "wanted a share"),
    ({"pattern": "4:2"}, "must keep some"),
    ({"pattern": "two"}, "not two numbers"),
    ({"structured": 0.5, "per_layer": True}, "goes with `--sparsity`"),
    ({"sparsity": 0.5, "schedule": "cubic"}, "goes with"),
    ({"sparsity": 0.5, "schedule": "square"}, "no schedule"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[said for _, said in WRONG])
def test_options_that_make_no_sense_together_are_usage_errors(
    words: dict[str, object], said: str
) -> None:
    given = {"structured": None, "sparsity": None, "pattern": None, **words}
    settings = {"schedule": "once", "per_layer": False, "finetune": False, **given}
    with pytest.raises(Usage, match=said):
        settings_of(**settings)  # type: ignore[arg-type]


def test_a_network_without_units_to_remove_says_so() -> None:
    source = torch_model()
    card = source.card
    assert card.arch is not None
    narrow = replace(card.arch, config={**card.arch.config, "hidden_sizes": [1]})

    weights = TorchWeights(dict(create(narrow).state_dict()))
    with pytest.raises(BadInput, match="no units that can be removed"):
        pruned(HALF, Artefact(replace(card, arch=narrow), weights))


def test_layer_names_are_unique() -> None:
    report: PruneReport = half().report
    names = [line.name for line in report.layers]
    assert len(names) == len(set(names))
