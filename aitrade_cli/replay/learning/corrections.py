"""What off-policy rows are worth: clipped importance ratios, and V-trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from aitrade_cli.errors import BadInput

Steps = Float[np.ndarray, "time batch"]
Batch = Float[np.ndarray, " batch"]


@dataclass(frozen=True, slots=True)
class VTrace:
    """Targets of a stretch of steps.

    Attributes:
        values: v_t, what the value function is drawn to.
        advantages: of the policy gradient, the clipped ratio of the first step included.
        ratios: of probabilities, clipped; 1 where the policies agree.
    """

    values: Float[np.ndarray, "time batch"]
    advantages: Float[np.ndarray, "time batch"]
    ratios: Float[np.ndarray, "time batch"]


def importance_ratios(
    target_log_prob: Float[np.ndarray, "*shape"],
    behavior_log_prob: Float[np.ndarray, "*shape"],
    clip: float | None = 1.0,
) -> Float[np.ndarray, "*shape"]:
    r"""How much likelier the policy that learns takes the action than the one that took it.

    $\min(c, \pi(a|s) / \mu(a|s))$ with $c$ = ``clip``. Computed from the difference of the
    logarithms, so neither probability underflows; where both are 0 the ratio is 1.

    Args:
        target_log_prob: of the policy that learns.
        behavior_log_prob: of the one that made the row.
        clip: largest ratio; None for no limit, which may give infinity.

    Raises:
        BadInput: a logarithm is not a number, or the clip not above 0.
    """
    if clip is not None and not clip > 0.0:
        raise BadInput(f"ratios are clipped above 0, got `{clip}`")
    if np.isnan(target_log_prob).any() or np.isnan(behavior_log_prob).any():
        raise BadInput("a logarithm of a probability is `nan`")
    same = target_log_prob == behavior_log_prob
    with np.errstate(over="ignore", invalid="ignore"):
        difference = np.where(same, 0.0, target_log_prob - behavior_log_prob)
        if clip is not None:
            difference = np.minimum(difference, np.log(clip))
        return np.exp(difference).astype(target_log_prob.dtype)


def effective_rows(ratios: Float[np.ndarray, " n"]) -> float:
    """How many equally weighted rows the ratios are worth, from 1 to n; 0 where all are 0.

    Source:
        Kish 1965, Survey Sampling, section 8.2: (sum of w)^2 / sum of w^2.
    """
    squares = float(np.square(ratios.astype(np.float64)).sum())
    return float(ratios.astype(np.float64).sum()) ** 2 / squares if squares else 0.0


def v_trace(
    target_log_prob: Float[np.ndarray, "time batch"],
    behavior_log_prob: Float[np.ndarray, "time batch"],
    rewards: Float[np.ndarray, "time batch"],
    discounts: Float[np.ndarray, "time batch"],
    values: Float[np.ndarray, "time batch"],
    bootstrap: Float[np.ndarray, " batch"],
    *,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
    trace: float = 1.0,
) -> VTrace:
    r"""V-trace targets and advantages of consecutive steps.

    $v_t = V(x_t) + \delta_t + \gamma_t c_t (v_{t+1} - V(x_{t+1}))$ with
    $\delta_t = \rho_t (r_t + \gamma_t V(x_{t+1}) - V(x_t))$,
    $\rho_t = \min(\bar\rho, \pi/\mu)$ and $c_t = \lambda \min(\bar c, \pi/\mu)$.
    The advantage is $\rho_t (r_t + \gamma_t v_{t+1} - V(x_t))$. Computed in float64.

    Args:
        target_log_prob: of the actions taken, under the policy that learns.
        behavior_log_prob: under the one that took them.
        rewards: of each step.
        discounts: gamma, 0 where the episode ended with that step.
        values: V of the state before each step.
        bootstrap: V of the state after the last one.
        clip_rho: limit of the ratio in delta; it sets which policy the values are of.
        clip_c: limit of the ratio in the trace; it sets the variance.
        trace: lambda, from 0 for one step to 1.

    Raises:
        BadInput: a clip is not above 0, or the trace not in [0, 1].

    Source:
        Espeholt et al. 2018, section 4.1 and remark 1. https://arxiv.org/abs/1802.01561
    """
    if not 0.0 <= trace <= 1.0:
        raise BadInput(f"the trace lies in [0, 1], got `{trace}`")
    target, behavior = target_log_prob.astype(np.float64), behavior_log_prob.astype(np.float64)
    rho = importance_ratios(target, behavior, clip_rho)
    c = trace * importance_ratios(target, behavior, clip_c)
    after = np.concatenate((values[1:], bootstrap[None])).astype(np.float64)
    delta = rho * (rewards + discounts * after - values)
    beyond = np.zeros(len(bootstrap))  # v - V of the state after
    above = np.empty_like(delta)
    for t in reversed(range(len(delta))):
        beyond = delta[t] + discounts[t] * c[t] * beyond
        above[t] = beyond
    traced = values + above
    traced_after = np.concatenate((traced[1:], bootstrap[None]))
    advantages = rho * (rewards + discounts * traced_after - values)
    return VTrace(traced, advantages, rho)
