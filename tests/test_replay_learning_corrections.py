"""V-trace against its definition written out as sums and products, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.learning.corrections import effective_rows, importance_ratios, v_trace


def by_definition(
    ratios: np.ndarray,
    rewards: np.ndarray,
    discounts: np.ndarray,
    values: np.ndarray,
    *,
    rho: float,
    c: float,
    trace: float,
) -> list[float]:
    """Equation 1 of the paper, one episode, every sum and product written out.

    ``values`` has one entry more than ``rewards``: that of the state after the last step.
    """
    steps = len(rewards)
    made = []
    for start in range(steps):
        target = values[start]
        for t in range(start, steps):
            delta = min(rho, ratios[t]) * (rewards[t] + discounts[t] * values[t + 1] - values[t])
            product = 1.0
            for i in range(start, t):
                product *= discounts[i] * trace * min(c, ratios[i])
            target += product * delta
        made.append(target)
    return made


@given(st.data())
def test_targets_are_those_of_the_definition(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    target, behavior = rng.normal(-1, 1, (2, steps, batch))
    rewards, values = rng.normal(size=(2, steps, batch))
    discounts = rng.choice([0.0, 0.9, 1.0], (steps, batch))
    bootstrap = rng.normal(size=batch)
    rho, c, trace = rng.uniform(0.3, 2.0), rng.uniform(0.3, 2.0), rng.choice([0.0, 0.7, 1.0])
    made = v_trace(
        target, behavior, rewards, discounts, values, bootstrap,
        clip_rho=rho, clip_c=c, trace=float(trace),
    )  # fmt: skip
    for k in range(batch):
        ratios = np.exp(target[:, k] - behavior[:, k])
        line = np.append(values[:, k], bootstrap[k])
        slow = by_definition(
            ratios, rewards[:, k], discounts[:, k], line, rho=rho, c=c, trace=float(trace)
        )
        assert made.values[:, k] == pytest.approx(slow)
        after = np.append(slow[1:], bootstrap[k])
        advantage = np.minimum(rho, ratios) * (
            rewards[:, k] + discounts[:, k] * after - values[:, k]
        )
        assert made.advantages[:, k] == pytest.approx(advantage)
        assert made.ratios[:, k] == pytest.approx(np.minimum(rho, ratios))


def test_two_steps_by_hand() -> None:
    # ratios 2 and 1/2; delta_1 = 1/2 (2 + 0.5*8 - 6) = 0, delta_0 = 1 (1 + 0.5*6 - 4) = 0
    # so v is V; with another reward of 4 on the last step delta_1 = 1/2 * 2 = 1.
    made = v_trace(
        np.log([[0.8], [0.2]]),
        np.log([[0.4], [0.4]]),
        np.array([[1.0], [4.0]]),
        np.array([[0.5], [0.5]]),
        np.array([[4.0], [6.0]]),
        np.array([8.0]),
    )
    assert made.ratios.ravel() == pytest.approx([1.0, 0.5])
    assert made.values.ravel() == pytest.approx([4.0 + 0.5 * 1.0 * 1.0, 7.0])
    assert made.advantages.ravel() == pytest.approx([1 + 0.5 * 7.0 - 4, 0.5 * (4 + 0.5 * 8 - 6)])


def test_the_same_policy_gives_the_discounted_return() -> None:
    rng = np.random.default_rng(0)
    log_prob, rewards, values = rng.normal(size=(3, 5, 2))
    made = v_trace(log_prob, log_prob, rewards, np.full((5, 2), 0.9), values, np.array([1.0, 2.0]))
    returns = np.array([1.0, 2.0])
    for t in reversed(range(5)):
        returns = rewards[t] + 0.9 * returns
        assert made.values[t] == pytest.approx(returns)


def test_nothing_leaks_over_the_end_of_an_episode() -> None:
    rng = np.random.default_rng(1)
    target, behavior, rewards, values = rng.normal(size=(4, 6, 1))
    discounts = np.full((6, 1), 0.9)
    discounts[2] = 0.0
    whole = v_trace(target, behavior, rewards, discounts, values, np.array([3.0]))
    first = v_trace(
        target[:3], behavior[:3], rewards[:3], discounts[:3], values[:3], np.array([-99.0])
    )
    assert whole.values[:3] == pytest.approx(first.values)


@pytest.mark.parametrize(
    ("target", "behavior", "clip", "ratio"),
    [
        (0.5, 0.25, 1.0, 1.0),
        (0.5, 0.25, 4.0, 2.0),
        (0.5, 0.25, None, 2.0),
        (0.1, 0.4, 1.0, 0.25),
        (0.0, 0.5, 1.0, 0.0),
        (0.0, 0.0, 1.0, 1.0),
        (0.5, 0.0, 3.0, 3.0),
    ],
)
def test_ratios_by_hand(target: float, behavior: float, clip: float | None, ratio: float) -> None:
    with np.errstate(divide="ignore"):
        logs = np.log([[target], [behavior]])
    assert importance_ratios(logs[0], logs[1], clip) == pytest.approx(ratio)


def test_logarithms_far_below_zero_do_not_underflow() -> None:
    ratios = importance_ratios(np.array([-2000.0]), np.array([-2001.0]), None)
    assert ratios == pytest.approx(np.e)
    assert importance_ratios(np.zeros(2, np.float32), np.zeros(2, np.float32)).dtype == np.float32


def test_rows_that_weigh_alike_are_worth_their_number_and_one_heavy_row_one() -> None:
    assert effective_rows(np.full(7, 0.3)) == pytest.approx(7.0)
    assert effective_rows(np.array([1e6, 1e-6, 1e-6])) == pytest.approx(1.0)
    assert effective_rows(np.zeros(3)) == 0.0


def test_wrong_settings_are_refused() -> None:
    one = np.zeros((1, 1))
    with pytest.raises(BadInput, match="clipped above 0"):
        importance_ratios(one, one, 0.0)
    with pytest.raises(BadInput, match="`nan`"):
        importance_ratios(one, np.full((1, 1), np.nan))
    with pytest.raises(BadInput, match="the trace lies"):
        v_trace(one, one, one, one, one, np.zeros(1), trace=1.5)
