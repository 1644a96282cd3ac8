"""How old the policy was that made each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.report.blocks import Block, Facts, Table, Verdict, view
from aitrade_cli.units import count_text, number_text, share_text


@dataclass(frozen=True, slots=True)
class AgeBin:
    """Rows whose policy is at least ``from_age`` versions old, and fewer than the next bin's."""

    from_age: int
    rows: int


@dataclass(frozen=True, slots=True)
class AgeReport:
    """How far the rows lag behind the policy that learns from them.

    Attributes:
        version: of the policy that learns now.
        rows: how many were looked at.
        age_mean: in versions.
        age_p50: half of the rows are this old or younger.
        age_p99: all but one in a hundred are.
        age_max: the oldest.
        bins: from 0, 1, 2, 4, 8 and so on.
    """

    version: int
    rows: int
    age_mean: float
    age_p50: int
    age_p99: int
    age_max: int
    bins: tuple[AgeBin, ...]


def age_report(versions: Int64[np.ndarray, " n"], current: int) -> AgeReport:
    """Count rows by the age of their policy.

    Args:
        versions: of the policy that made each row.
        current: version that learns now.

    Raises:
        BadInput: a row comes from a later policy, or there is none.
    """
    if not len(versions):
        raise BadInput("there is no row whose policy could be old")
    ages = current - versions.astype(np.int64)
    if ages.min() < 0:
        raise BadInput(f"a row was made by version `{versions.max()}`, the policy is `{current}`")
    ordered = np.sort(ages)
    return AgeReport(
        version=current,
        rows=len(ages),
        age_mean=float(ages.mean()),
        age_p50=int(ordered[(len(ages) - 1) // 2]),
        age_p99=int(ordered[-(-99 * len(ages) // 100) - 1]),
        age_max=int(ordered[-1]),
        bins=log2_bins(ages),
    )


def log2_bins(ages: Int64[np.ndarray, " n"]) -> tuple[AgeBin, ...]:
    """Rows by age: 0 is a bin of its own, from 1 on each begins at a power of two."""
    numbers = np.where(ages > 0, np.floor(np.log2(np.maximum(ages, 1))).astype(np.int64) + 1, 0)
    counts = np.bincount(numbers).tolist()
    starts = [0, *(2**k for k in range(len(counts) - 1))]
    return tuple(AgeBin(at, rows) for at, rows in zip(starts, counts, strict=True))


@view.register
def _(report: AgeReport) -> Sequence[Block]:
    bins = [
        (f"from {one.from_age}", count_text(one.rows), share_text(one.rows / report.rows))
        for one in report.bins
    ]
    return (
        Verdict(f"rows are {number_text(report.age_mean, 1)} versions old on average"),
        Facts(
            "Policy lag",
            (
                ("Version now", count_text(report.version)),
                ("Rows", count_text(report.rows)),
                ("Half are at most", count_text(report.age_p50)),
                ("99 % are at most", count_text(report.age_p99)),
                ("Oldest", count_text(report.age_max)),
            ),
        ),
        Table("By age", ("Versions old", "Rows", "Share"), bins),
    )
