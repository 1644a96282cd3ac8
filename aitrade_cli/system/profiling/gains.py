"""What reruns say of a fix: how much it gained, and whether luck could have done that."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from aitrade_cli.system.profiling.launch import Run
from aitrade_cli.system.profiling.report import Finding, Output, Resource, Trial

# Each look at the rounds is another chance to be fooled. Of identical programs three in a hundred
# are called better after all looks together.
UNLIKELY: Final = 0.005
HOPELESS: Final = 0.3  # beyond it a gain of a tenth seldom lies; rounds take their time
DRAWS: Final = 20_000  # of the ways to name the fixed run; up to nine rounds all are counted


def trial_of(
    finding: Finding, first: Sequence[Run], again: Sequence[Run], runs: Sequence[Run]
) -> Trial:
    """What one fix gained.

    It counts where each round was better than the better of the two unfixed runs of that
    round, and the median gain is beyond the largest difference between those two; or where
    identical programs would hardly ever come out so well.

    Args:
        finding: what was predicted.
        first: unfixed runs, one a round.
        again: the other unfixed runs, as many.
        runs: with the fix, as many.
    """
    failed = next((one for one in runs if one.exit_code != 0 or one.killed), None)
    pairs = list(zip(first, again, runs, strict=True))
    used = [tuple(spent(one, finding.resource) for one in triple) for triple in pairs]
    gains = [(a + b) / 2 / fixed for a, b, fixed in used]
    band = max(max(a, b) / min(a, b) for a, b, _ in used)
    gain, chance = median(gains), chance_of(used)
    clear = gain > band and all(min(a, b) > fixed for a, b, fixed in used)
    return Trial(
        gain=round(gain, 3),
        gain_low=round(min(gains), 3),
        gain_high=round(max(gains), 3),
        same_twice=round(band, 3),
        rounds=len(runs),
        chance=round(chance, 5),
        confirmed=failed is None and gain > 1.0 and (clear or chance <= UNLIKELY),
        inside=failed is None and finding.gain_low <= gain <= finding.gain_high,
        output=outputs(first, again, runs),
        failed=why(failed) if failed else "",
    )


def undecided(trial: Trial) -> bool:
    """Whether more rounds could tell a gain from noise."""
    return not (trial.confirmed or trial.failed or trial.chance > HOPELESS)


def chance_of(used: Sequence[Sequence[float]]) -> float:
    """How often three identical programs would come out as well as the fixed one did.

    Which of the three runs of a round is the fixed one would then be chance. So another one is
    named in each round, in every way or in many drawn ones, and the product of what the named
    ones took compared with the one that was seen.

    Args:
        used: what the two unfixed runs and the fixed one took, of each round; > 0.

    Returns:
        In (0, 1]; of one look, whatever was looked at before. With three rounds 1 in 27 is the
        least.

    Source:
        Fisher 1935, The Design of Experiments, chapter III; Phipson and Smyth 2010, Permutation
        P-values Should Never Be Zero, https://doi.org/10.2202/1544-6115.1585 (drawn ways).
    """
    import numpy as np  # only where fixes are tried

    taken = np.log(np.array(used, dtype=np.float64))
    rounds, arms = taken.shape
    as_good = taken[:, -1].sum() + 1e-9
    if arms**rounds <= DRAWS:
        named = np.indices((arms,) * rounds).reshape(rounds, -1)
    else:
        named = np.random.default_rng(0).integers(0, arms, (rounds, DRAWS))
        named[:, 0] = arms - 1  # the way that was seen is one of them
    sums = np.take_along_axis(taken, named, axis=1).sum(axis=0)
    return float((sums <= as_good).mean())


def spent(one: Run, resource: Resource) -> float:
    return max(one.wall_seconds if resource == "time" else float(one.peak_bytes), 1e-6)


def outputs(first: Sequence[Run], again: Sequence[Run], runs: Sequence[Run]) -> Output:
    """Whether the fixed program prints what the unfixed one does."""
    plain = {one.output_sha256 for one in (*first, *again)}
    if len(plain) > 1:
        return "varies by itself"
    return "the same" if {one.output_sha256 for one in runs} == plain else "differs"


def why(failed: Run) -> str:
    """How a program ended that did not end well."""
    if failed.killed:
        return f"given up after {failed.wall_seconds:.0f} s"
    last = failed.last_words[-1] if failed.last_words else ""
    return f"exit code {failed.exit_code}" + (f": {last}" if last else "")
