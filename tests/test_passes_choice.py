"""The fastest candidate that decides alike ships, and every other is told why it did not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.card import Decision
from aitrade_cli.model.onnx_coverage import WeightCoverage
from aitrade_cli.model.quantization.sensitivity import Kept
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.quantize.candidates import Candidate, Workshop
from aitrade_cli.passes.quantize.choice import FLOAT, LEAST_COVERED, SAFETY, Choice, choose
from aitrade_cli.passes.quantize.settings import Settings
from tests.fidelity_market import Model
from tests.passes_cases import plant

FEW = np.zeros((4, 2, 1), dtype=np.float32)
SHOP = Workshop(OnnxGraph(b"float"), FEW, None, "", None)
ALLOWED = Settings().flips_allowed * SAFETY


def silent(_: str) -> None: ...


def covering(share: float) -> WeightCoverage:
    stored = round(1_000 * share)
    return WeightCoverage(1_000, stored, 0, 0, stored, 10, 10)


def candidate(
    name: str,
    *,
    size: int = 100,
    share: float = 1.0,
    flips: float | None = 0.0,
    kept: tuple[str, ...] = (),
) -> Candidate:
    graph = OnnxGraph(name.encode().ljust(size))
    return Candidate(name, lambda _: graph, graph, kept, covering(share), flips)


def unbuilt(name: str, why: str) -> Candidate:
    return Candidate(name, lambda _: OnnxGraph(b""), failed=why)


def chosen(
    built: Sequence[Candidate],
    call_us: dict[str, float],
    asked: Settings | None = None,
    *,
    shop: Workshop = SHOP,
    fails: dict[str, str] | None = None,
) -> Choice:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, {FLOAT: 900.0, **call_us}, fails=fails)
        return choose(shop, built, asked or Settings(), silent)


def reasons(choice: Choice) -> dict[str, str]:
    return {line.name: line.reason for line in choice.lines}


def test_the_fastest_ships() -> None:
    built = [candidate("slow"), candidate("fast"), candidate("middle")]
    choice = chosen(built, {"slow": 400.0, "fast": 100.0, "middle": 200.0})
    assert choice.winner is built[1]
    assert choice.graph == built[1].graph
    assert [line.shipped for line in choice.lines] == [False, True, False]
    told = reasons(choice)
    assert told["fast"] == "shipped, the fastest (within 10%) that decides alike"
    assert told["slow"].endswith("x of the shipped one's speed")
    assert float(told["slow"].split("x")[0]) == pytest.approx(0.25, abs=0.01)


def test_of_two_that_the_race_cannot_tell_apart_the_one_that_flips_less_ships() -> None:
    built = [candidate("quicker", flips=0.006), candidate("truer", flips=0.001)]
    assert chosen(built, {"quicker": 100.0, "truer": 108.0}).winner.name == "truer"
    assert chosen(built, {"quicker": 100.0, "truer": 120.0}).winner.name == "quicker"


three = st.lists(
    st.tuples(
        st.sampled_from([0.0, ALLOWED, ALLOWED * 1.01, 0.3]),
        st.sampled_from([1.0, LEAST_COVERED, LEAST_COVERED - 0.001, 0.5]),
        st.permutations([100.0, 200.0, 300.0, 400.0]).map(lambda order: order[0]),
    ),
    min_size=1,
    max_size=4,
)


@given(three)
@settings(max_examples=25)
def test_who_ships_is_within_budget_and_covered_and_nobody_like_it_is_faster(
    drawn: list[tuple[float, float, float]],
) -> None:
    built = [
        candidate(f"c{number}", flips=flips, share=share)
        for number, (flips, share, _) in enumerate(drawn)
    ]
    speeds = {one.name: drawn[place][2] + place for place, one in enumerate(built)}
    shares = {one.name: drawn[place][0] for place, one in enumerate(built)}
    fit = [
        f"c{number}"
        for number, (flips, share, _) in enumerate(drawn)
        if flips <= ALLOWED and share >= 0.95
    ]
    choice = chosen(built, speeds)
    assert sum(line.shipped for line in choice.lines) == 1
    if fit:
        quickest = min(speeds[name] for name in fit)
        assert choice.winner.name in fit
        assert speeds[choice.winner.name] <= 1.1 * quickest
        tied = [shares[name] for name in fit if speeds[name] <= 1.1 * quickest]
        assert shares[choice.winner.name] == min(tied)


def test_over_budget_is_barred_with_its_share() -> None:
    built = [candidate("wild", flips=0.04), candidate("tame")]
    choice = chosen(built, {"wild": 50.0, "tame": 500.0})
    assert choice.winner.name == "tame"
    assert reasons(choice)["wild"].startswith("decides otherwise on 4.00 % of the windows")


def test_a_larger_budget_lets_it_through() -> None:
    built = [candidate("wild", flips=0.04), candidate("tame")]
    wide = Settings(budget=Budget(max_flips=0.08))
    assert chosen(built, {"wild": 50.0, "tame": 500.0}, wide).winner.name == "wild"


def test_half_of_the_budget_is_kept_for_bars_that_nobody_has_seen() -> None:
    built = [candidate("edge", flips=0.01), candidate("tame")]
    assert chosen(built, {"edge": 50.0, "tame": 500.0}).winner.name == "tame"


def test_int8_with_weights_left_in_float_is_not_int8() -> None:
    built = [candidate("part", share=0.949), candidate("whole", share=0.95)]
    choice = chosen(built, {"part": 50.0, "whole": 500.0})
    assert choice.winner.name == "whole"
    assert reasons(choice)["part"] == "only 94.9 % of its weights are INT8"


def test_other_widths_have_no_such_rule() -> None:
    built = [candidate("part", share=0.0), candidate("whole")]
    half = Settings(bits="fp16")
    assert chosen(built, {"part": 50.0, "whole": 500.0}, half).winner.name == "part"


def test_int4_takes_the_smallest() -> None:
    built = [candidate("large", size=900), candidate("small", size=300)]
    choice = chosen(built, {"large": 50.0, "small": 500.0}, Settings(bits="int4"))
    assert choice.winner.name == "small"
    assert reasons(choice) == {
        "small": "shipped, the smallest that decides alike",
        "large": "larger than the one that ships",
    }


def test_a_float_graph_that_is_faster_is_named_and_not_shipped() -> None:
    choice = chosen([candidate("int8")], {FLOAT: 100.0, "int8": 200.0})
    assert choice.winner.name == "int8"
    assert [line.name for line in choice.lines] == ["int8"]
    (note,) = choice.notes
    assert "the float32 ONNX graph is 2.00x as fast" in note
    assert "`aitrade export-onnx`" in note


@pytest.mark.parametrize("float_us", [200.0, 900.0])
def test_a_float_graph_that_is_not_goes_without_saying(float_us: float) -> None:
    assert chosen([candidate("int8")], {FLOAT: float_us, "int8": 200.0}).notes == ()


def test_what_could_not_be_built_is_listed_with_its_reason() -> None:
    built = [unbuilt("static", "no such operator"), candidate("dynamic")]
    choice = chosen(built, {})
    assert reasons(choice)["static"] == "not built: no such operator"
    lost = choice.lines[0]
    assert (lost.size_bytes, lost.latency_us_p50, lost.stored_share) == (None, None, None)


def test_a_candidate_whose_process_dies_does_not_take_the_rest_with_it() -> None:
    built = [candidate("frail"), candidate("sound")]
    choice = chosen(built, {"frail": 50.0, "sound": 500.0}, fails={"frail": "open"})
    assert choice.winner.name == "sound"
    assert "it broke" in reasons(choice)["frail"]
    assert choice.lines[0].latency_us_p50 is None


def test_where_no_process_lives_that_is_said() -> None:
    with pytest.raises(BadInput, match="`frail` was not measured"):
        chosen([candidate("frail")], {}, fails={"frail": "open"})


def test_nothing_covered_enough_ships_the_closest_and_owns_up() -> None:
    built = [candidate("half", share=0.5), candidate("third", share=0.3, flips=0.001)]
    choice = chosen(built, {})
    assert choice.winner.name == "half"
    assert reasons(choice)["half"] == (
        "shipped, none is better: only 50.0 % of its weights are INT8"
    )


WINDOWS = np.zeros((100, 2, 1), dtype=np.float32)
LONG = np.tile(np.array([0.0, 0.0, 9.0], dtype=np.float32), (100, 1))
WATCHED = Workshop(OnnxGraph(b"float"), FEW, None, "", Flips(WINDOWS, Decision(), LONG))


def keeping(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    """Let the search for layers end at once, and what it found decide as the source does."""
    monkeypatch.setattr("aitrade_cli.passes.quantize.choice.keep_in_float", lambda *_: kept)
    monkeypatch.setattr("aitrade_cli.passes.quantize.candidates.coverage", lambda *_: covering(0.6))
    sound = Model(lambda window: LONG[: len(window)])
    monkeypatch.setattr("aitrade_cli.passes.quantize.candidates.start_onnx", lambda _: sound)


def test_none_within_budget_gives_layers_back_to_float_and_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeping(monkeypatch, Kept(OnnxGraph(b"mended"), ("head", "gate"), 0.0, within=True))
    built = [candidate("wild", flips=0.4), candidate("less wild", flips=0.1)]
    choice = chosen(built, {}, shop=WATCHED)
    assert choice.winner.name == "less wild, 2 in float"
    assert choice.winner.kept == ("head", "gate")
    assert [line.name for line in choice.lines] == ["wild", "less wild", "less wild, 2 in float"]
    shipped = choice.lines[-1]
    assert shipped.in_float == ("head", "gate")
    assert shipped.stored_share == 0.6  # the rule of 95 % gives way to named layers alone
    assert shipped.reason.startswith("shipped, the fastest (within 10%) that decides alike")
    assert shipped.reason.endswith("; in float: head, gate")


def test_where_no_layer_helps_the_closest_ships_and_owns_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeping(monkeypatch, Kept(OnnxGraph(b"same"), (), 0.1, within=False))
    built = [candidate("wild", flips=0.4), candidate("less wild", flips=0.1)]
    choice = chosen(built, {}, shop=WATCHED)
    assert [line.name for line in choice.lines] == ["wild", "less wild"]
    assert reasons(choice)["less wild"].startswith(
        "shipped, none is better: decides otherwise on 10.00 %"
    )


def test_without_a_rule_or_bars_speed_alone_chooses() -> None:
    built = [candidate("slow", flips=None), candidate("fast", flips=None)]
    choice = chosen(built, {"slow": 400.0, "fast": 100.0})
    assert choice.winner.name == "fast"
    assert choice.lines[1].flips is None
