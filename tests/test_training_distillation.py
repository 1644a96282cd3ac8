"""Losses against closed forms, mixtures, and a student that comes to agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.architectures import ARCHITECTURES
from aitrade_cli.model.card import Preprocessing
from aitrade_cli.training.distillation import Answers, Distillation, mixed_loss, recover, soft_loss
from aitrade_cli.training.features import NoFeatures, SeenAndSaid, Tap, features_over
from aitrade_cli.training.labels import UNKNOWN, Band
from aitrade_cli.training.lessons import lessons_from, lessons_of, logits_over
from aitrade_cli.training.loop import fit, fresh
from aitrade_cli.training.material import Material
from aitrade_cli.training.policies import policy_loss, value_loss
from aitrade_cli.training.run import Recipe, pursue
from aitrade_cli.training.students import arch_for, parameters_of
from tests.passes_cases import torch_model
from tests.test_training_loop import FEATURES, NETS, WINDOW, arch, planted

SEEDS = st.integers(0, 2**31)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def material(rows: int = 300) -> Material:
    names = tuple(f"f{number}" for number in range(FEATURES))
    ones = (1.0,) * FEATURES
    return Material(
        training=planted(rows),
        validation=planted(80, seed=1),
        note="planted",
        bars_sha256="0" * 64,
        preprocessing=Preprocessing(names, WINDOW, ones, ones),
        band=Band(-1.0, 1.0),
        trained_until_ns=0,
        held_out=planted(200, seed=2),
    )


def divergence(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """Kullback and Leibler's sum, spelt out."""
    p, q = (np.exp(x / temperature) for x in (teacher, student))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    return float((p * np.log(p / q)).sum(axis=1).mean())


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.5, 8.0))
def test_the_soft_loss_is_the_sum_it_stands_for(seed: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    student, teacher = random.normal(size=(2, 7, 3))
    ours = soft_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    wanted = divergence(student, teacher, temperature) * temperature**2
    assert float(ours) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_weight_zero_is_the_labels_and_an_unknown_label_weighs_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 3, generator=random)
    classes = torch.tensor([0, 1, 2, UNKNOWN, UNKNOWN, 1])
    known = classes != UNKNOWN
    hard = nn.functional.cross_entropy(student[known], classes[known])
    assert float(mixed_loss(student, teacher, classes, Distillation(2.0, 0.0))) == pytest.approx(
        float(hard), rel=1e-6
    )
    nobody = torch.full((6,), UNKNOWN)
    soft = soft_loss(student, teacher, 2.0)
    mixed = mixed_loss(student, teacher, nobody, Distillation(2.0, 0.5))
    assert float(mixed) == pytest.approx(0.5 * float(soft), rel=1e-6)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"temperature": 0.0}, {"weight": 1.1}, {"weight": -0.1}):
        with pytest.raises(BadInput):
            Distillation(**wrong)


def test_lessons_hold_what_the_teacher_says_of_every_row() -> None:
    teacher = fresh(arch("tcn"), 1).eval()
    lessons = lessons_of(teacher, material(), mixed=1.5, seed=4)
    rows = np.arange(len(lessons))
    assert len(lessons) == 300 + 450
    windows = lessons.windows_at(rows)
    np.testing.assert_allclose(logits_over(teacher, windows), lessons.logits_at(rows), atol=1e-5)
    assert (lessons.classes_at(rows)[300:] == UNKNOWN).all()
    np.testing.assert_array_equal(lessons.classes_at(rows)[:300], material().training.classes)
    few = lessons.thinned(60)
    assert len(few) <= 60
    some = np.arange(len(few))
    np.testing.assert_allclose(
        logits_over(teacher, few.windows_at(some)), few.logits_at(some), atol=1e-5
    )


def test_a_function_can_be_the_teacher() -> None:
    teacher = fresh(arch("mlp"), 1).eval()
    asked = lessons_of(lambda windows: logits_over(teacher, windows), material(), mixed=0.0)
    ours = lessons_of(teacher, material(), mixed=0.0)
    np.testing.assert_allclose(asked.training_logits, ours.training_logits, atol=1e-6)


@pytest.mark.parametrize("kind", ["network", "lessons", "logits"])
def test_a_student_comes_to_agree(kind: str) -> None:
    teacher = fresh(arch("mlp"), 1)
    given_to = material(600)
    fit(teacher, given_to.training, given_to.validation, Recipe(epochs=6, learning_rate=5e-3))
    said = {
        "network": teacher,
        "lessons": lessons_of(teacher, given_to),
        "logits": logits_over(teacher, given_to.training.windows),
    }[kind]
    student = fresh(arch("mlp"), 2)
    before = agreement(student, teacher, given_to)
    recover(student, said, given_to, Recipe(epochs=8, learning_rate=1e-2, batch=32))
    assert not student.training
    assert agreement(student, teacher, given_to) > max(0.7, before + 0.1)


def test_a_network_with_one_output_is_taught_too() -> None:
    torch.manual_seed(0)
    teacher, student = (
        nn.Sequential(nn.Flatten(), nn.Linear(WINDOW * FEATURES, 1)).eval() for _ in range(2)
    )
    given_to = material()

    def off() -> float:
        windows = given_to.held_out.windows
        return float(
            np.square(logits_over(student, windows) - logits_over(teacher, windows)).mean()
        )

    before = off()
    recipe = Recipe(epochs=8, batch=32, learning_rate=1e-2, weight_decay=0.0)
    recover(student, teacher, given_to, recipe)
    assert off() < 0.2 * before


def agreement(student: nn.Module, teacher: nn.Module, given_to: Material) -> float:
    windows = given_to.held_out.windows
    both = (logits_over(network, windows).argmax(axis=1) for network in (student, teacher))
    return float(np.equal(*both).mean())


def test_a_deadline_ends_it_and_wrong_logits_are_refused() -> None:
    teacher, student = fresh(arch("mlp"), 1), fresh(arch("mlp"), 2)
    run = recover(student, teacher, material(), Recipe(epochs=50), deadline_s=0.0)
    assert len(run.epochs) == 1
    with pytest.raises(BadInput, match="answers of the teacher"):
        lessons_from(np.zeros((5, 3), np.float32), material())


def test_what_enters_the_head_is_tapped_and_pulled_nearer() -> None:
    teacher, student = fresh(arch("lstm"), 1).eval(), fresh(arch("tcn"), 2)
    lessons = lessons_of(teacher, material(), mixed=0.5)
    features = features_over(teacher, lessons)
    assert features.shape == (450, 12)
    head = [part for part in teacher.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        again = head(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(again, lessons.training_logits, atol=1e-5)
    goal = SeenAndSaid(student, Answers(lessons, Distillation()), features, feature_weight=1.0)
    first = goal.loss(student, np.arange(450)).item()
    pursue(student, goal, Recipe(epochs=4, learning_rate=1e-2, batch=32))
    assert goal.loss(student, np.arange(450)).item() < 0.7 * first
    goal.close()
    with pytest.raises(NoFeatures):
        Tap(nn.Sequential(nn.Flatten()))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.05, 2.0))
def test_the_policy_loss_is_the_sum_it_stands_for(seed: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    student, teacher = random.normal(size=(2, 5, 4))
    ours = policy_loss(
        torch.from_numpy(student), torch.from_numpy(teacher), temperature=temperature
    )
    # The student's side is not sharpened.
    wanted = divergence(student * temperature, teacher, temperature)
    assert float(ours) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_a_forbidden_action_weighs_nothing() -> None:
    random = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 5, 4, generator=random)
    allowed = torch.tensor([[True, True, True, False]]).expand(5, 4)
    three = policy_loss(student[:, :3], teacher[:, :3], temperature=0.5)
    masked = policy_loss(student, teacher, temperature=0.5, allowed=allowed)
    assert float(masked) == pytest.approx(float(three), rel=1e-5)
    with pytest.raises(BadInput):
        policy_loss(student, teacher, temperature=0.0)


def test_the_value_loss_is_quadratic_near_and_straight_far() -> None:
    error = torch.tensor([0.5, -0.5, 3.0])
    wanted = (0.125 + 0.125 + 2.0 * (3.0 - 1.0)) / 3
    assert float(value_loss(error, torch.zeros(3), beyond=2.0)) == pytest.approx(wanted)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(sorted(ARCHITECTURES)), st.integers(8_000, 300_000))
def test_a_student_is_the_widest_that_fits(name: str, most: int) -> None:
    card = torch_model().card
    found = arch_for(name, most, card)
    count = parameters_of(found)
    assert count <= most
    assert arch_for(name, count, card) == found
    wider = arch_for(name, 4 * most, card)
    assert parameters_of(wider) > count
    assert found.config["features"] == 4


def test_too_small_a_student_is_refused_with_the_least_there_is() -> None:
    with pytest.raises(Usage, match="the narrowest has"):
        arch_for("transformer", 10, torch_model().card)
    assert set(NETS) == set(ARCHITECTURES)
