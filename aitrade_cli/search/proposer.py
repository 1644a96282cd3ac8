"""The sampler of a search: new for each proposal, so that a search can go on anywhere."""

from __future__ import annotations

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial


class Proposer(TPESampler):
    """A tree-structured Parzen estimator that does not read all trials for what they vary.

    Args:
        varied: remembers which trials it has read; one for the whole study.
        seed: of this proposal.
        at_random: trials before the first that is not drawn at random.

    Source:
        Bergstra et al. 2011.
    """

    def __init__(self, varied: IntersectionSearchSpace, seed: int, at_random: int) -> None:
        super().__init__(seed=seed, n_startup_trials=at_random)
        self.varied = varied

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What `TPESampler` finds, which would begin with the first trial each time."""
        if len(study.directions) > 1:  # keys are drawn one by one then
            return super().infer_relative_search_space(study, trial)
        found = self.varied.calculate(study, use_cache=True)
        return {name: one for name, one in found.items() if not one.single()}
