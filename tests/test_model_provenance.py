"""Every step of an artefact's life leaves one line, and the line names the parent."""

from __future__ import annotations

from importlib.metadata import version

from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli import __version__
from aitrade_cli.model.artefact import Artefact, OnnxGraph
from aitrade_cli.model.card import Card, Step, TensorSpec
from aitrade_cli.model.provenance import record, versions


def artefact(*history: Step, sha256: str | None = None) -> Artefact:
    ends = (TensorSpec("window", ("batch", 4, 3)),), (TensorSpec("logits", ("batch", 3)),)
    return Artefact(Card(*ends, history=history), OnnxGraph(b""), sha256)


TRAINED = Step("train", {}, {}, {}, None)


def test_versions_are_those_that_are_installed() -> None:
    assert versions() == {
        "aitrade": __version__,
        **{name: version(name) for name in ("numpy", "onnx", "onnxruntime", "openvino", "torch")},
    }


def test_a_step_follows_the_parents_and_names_its_file() -> None:
    parent = artefact(TRAINED, sha256="a" * 64)
    child = record(artefact(), parent, "quantize", {"bits": "int8"}, {"agreement": 0.997})
    first, second = child.card.history
    assert first is TRAINED
    assert second == Step(
        "quantize", {"bits": "int8"}, {"agreement": 0.997}, versions(), parent_sha256="a" * 64
    )


def test_a_parent_that_was_never_a_file_has_no_digest() -> None:
    (step,) = record(artefact(), artefact(), "wrap", {}, {}).card.history
    assert step.parent_sha256 is None


def test_a_history_of_the_childs_own_is_the_parents_to_tell() -> None:
    child = record(artefact(TRAINED, TRAINED), artefact(TRAINED), "quantize", {}, {})
    assert [step.command for step in child.card.history] == ["train", "quantize"]


@given(st.lists(st.text(max_size=5), max_size=5))
def test_history_grows_by_one_line_a_step(commands: list[str]) -> None:
    made = artefact()
    for number, command in enumerate(commands):
        made = record(made, made, command, {"number": number}, {})
    assert [step.command for step in made.card.history] == commands


def test_settings_are_kept_as_they_were() -> None:
    settings = {"bits": "int8"}
    (step,) = record(artefact(), artefact(), "quantize", settings, {}).card.history
    settings["bits"] = "int4"
    assert step.settings == {"bits": "int8"}
