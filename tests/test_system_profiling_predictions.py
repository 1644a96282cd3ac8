"""What a prediction is made of: this host, this sample, and what the fix can reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.rules.prediction import advice, finding
from tests.profiling_cases import (
    LOADING,
    READING,
    facts,
    found,
    line,
    loader_row,
    script,
    site,
)


def test_elements_that_become_floats_are_read_at_once_where_that_was_seen(tmp_path: Path) -> None:
    text = READING.replace("prices[at].item()", "float(prices[at]) + float(limit[at])")
    path = script(tmp_path, text.replace("sum_ += ", "sum_ += (\n                ").replace(
        " + float", "\n                + float").replace("limit[at])", "limit[at]))"))  # fmt: skip
    evidence = Evidence(
        wall=4.0, cpu=4.0, sites=(site("sync", path, 5, 3.0, calls=30_000),), facts=facts()
    )
    fix = found(evidence)["single_elements"].fix
    assert "float(prices_list[at])" in fix.patched
    assert "+ float(limit[at])" in fix.patched  # nothing says that this is a tensor


def test_samples_widen_the_interval_and_hooks_do_not() -> None:
    few, many = (Evidence(wall=wall, cpu=wall, outside=True) for wall in (2.0, 200.0))
    # two standard errors of 60 samples of a coin: 2 * sqrt(0.25 / 60)
    assert few.spread(0.5) == pytest.approx(0.1291, abs=1e-4)
    assert few.spread(0.5) == pytest.approx(10.0 * many.spread(0.5))
    counted = finding("k", "p", 0.5, "w", (0.5, 0.9), advice("a"), spread=few.spread(0.5))
    timed = finding("k", "p", 0.5, "w", (0.5, 0.9), advice("a"))
    assert counted.gain_low < timed.gain_low < timed.gain_high < counted.gain_high


def test_workers_are_worth_what_processes_get_here(tmp_path: Path) -> None:
    path = script(tmp_path, LOADING)

    def high(parallel: tuple[float, float]) -> tuple[float, float]:
        evidence = Evidence(
            wall=10.0, cpu=10.0, cores=2, parallel=parallel,
            sites=(site("loader", path, 5, 8.0), site("forward", path, 6, 1.0)),
            facts=facts(loaders=[loader_row(path, 4)]),
        )  # fmt: skip
        one = found(evidence)["slow_loader"]
        return one.gain_low, one.gain_high

    shared, free = high((1.0, 1.1)), high((1.9, 2.0))
    assert shared[0] == 1.0  # another program has the second core
    assert free[0] > 1.3
    assert 1.6 < free[1] == shared[1] < 2.0  # it may be gone when the fix is tried


BY_HAND = """
    def main(network, bars, optimizer):
        for end in range(32, len(bars)):
            loss = network(bars[end - 32 : end])
            loss.backward()
            optimizer.step()
"""


def test_batches_that_are_cut_by_hand_count_too(tmp_path: Path) -> None:
    path = script(tmp_path, BY_HAND)
    steps = (site("optimizer", path, 5, 2.0, calls=2000), site("backward", path, 4, 5.0))
    one = site("forward", path, 3, 2.0, calls=2000, size=2000.0)
    acting = site("forward", path, 3, 2.0, calls=9000, size=9000.0)
    learning = site("forward", path, 4, 2.0, calls=2000, size=512_000.0)
    assert found(Evidence(wall=10.0, cpu=9.0, sites=(*steps, one)))["tiny_batches"].place == (
        f"{path}:3"
    )
    agent = Evidence(wall=12.0, cpu=9.0, sites=(*steps, acting, learning))
    assert "tiny_batches" not in found(agent)


CELLS = """
    import csv

    def table(file):
        return [(float(row["open"]), float(row["close"])) for row in csv.DictReader(file)]

    def weigh(rows):
        return sum(row[0] * row[1] for row in rows)
"""


def test_text_that_python_takes_apart_is_parsing(tmp_path: Path) -> None:
    path = script(tmp_path, CELLS)
    evidence = Evidence(wall=4.0, cpu=4.0, lines=(line(path, 4, 3.0, 1.0), line(path, 7, 0.9, 0.9)))
    one = found(evidence)["slow_parsing"]
    assert (one.place, one.share) == (f"{path}:4", pytest.approx(0.75))
    elsewhere = Evidence(wall=4.0, cpu=4.0, lines=(line(path, 7, 3.9, 3.9),))
    assert "slow_parsing" not in found(elsewhere)


COMPILED = """
    import torch

    def main(network, batches):
        fast = torch.compile(network)
        return [fast(one) for one in batches]
"""


def test_the_first_compilation_stays(tmp_path: Path) -> None:
    path = script(tmp_path, COMPILED)
    at = [{"file": str(path), "line": 4, "values": []}]

    def interval(first: float) -> tuple[float, float]:
        told = {"count": 8, "seconds": 5.0, "first": first}
        evidence = Evidence(wall=10.0, cpu=10.0, facts=facts(compiled=at, compilations=told))
        one = found(evidence)["recompilations"]
        assert "torch.compile(network, dynamic=True)" in one.fix.patched
        return one.gain_low, one.gain_high

    assert interval(0.5) == pytest.approx((1 / 0.65, 1 / 0.55), abs=1e-3)
    assert interval(4.0) == pytest.approx((1.0, 1 / 0.9), abs=1e-3)
