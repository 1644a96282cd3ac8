"""Evidence becomes findings by general rules: made-up evidence, real source, real diffs."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.rules import findings_of
from aitrade_cli.system.profiling.rules.prediction import amdahl
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

shares = st.floats(0.0, 0.99)


@given(shares, shares)
def test_a_gain_follows_from_its_share(share: float, recoverable: float) -> None:
    gain = amdahl(share, recoverable)
    left = 1.0 - share * recoverable  # of a wall time of one second
    assert gain >= 1.0
    assert gain * left == pytest.approx(1.0)


def test_half_of_the_time_gone_is_twice_as_fast() -> None:
    assert amdahl(0.5, 1.0) == pytest.approx(2.0)
    assert amdahl(1.0, 0.75) == pytest.approx(4.0)
    assert amdahl(0.0, 1.0) == 1.0


def test_a_loop_that_waits_for_its_loader_gets_workers(tmp_path: Path) -> None:
    path = script(tmp_path, LOADING)
    evidence = Evidence(
        wall=10.0, cpu=10.0, cores=4,
        sites=(site("loader", path, 5, 6.0), site("forward", path, 6, 3.0)),
        facts=facts(loaders=[loader_row(path, 4)]),
    )  # fmt: skip
    one = found(evidence)["slow_loader"]
    assert one.share == pytest.approx(0.6)
    assert (
        "+    loader = DataLoader(data, batch_size=32, shuffle=True, num_workers=4)" in one.fix.text
    )
    assert 1.0 < one.gain_low < one.gain_high <= 2.5


def test_a_short_wait_is_not_worth_a_line(tmp_path: Path) -> None:
    path = script(tmp_path, LOADING)
    evidence = Evidence(wall=10.0, cpu=10.0, sites=(site("loader", path, 5, 0.9),))
    assert findings_of(evidence) == []


def test_batches_of_four_become_larger_where_the_number_is_written(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        from torch.utils.data import DataLoader

        SIZE = 4


        def main(data):
            return DataLoader(data, batch_size=SIZE)
        """,
    )
    evidence = Evidence(
        wall=10.0, cpu=10.0,
        sites=(site("optimizer", path, 7, 2.0, calls=2000), site("backward", path, 7, 5.0)),
        facts=facts(loaders=[loader_row(path, 7, batch=4, items=8000)]),
    )  # fmt: skip
    one = found(evidence)["tiny_batches"]
    assert "-SIZE = 4\n+SIZE = 64" in one.fix.text
    assert "learning rate" in one.fix.caution


def test_large_batches_are_left_alone(tmp_path: Path) -> None:
    path = script(tmp_path, LOADING)
    evidence = Evidence(
        wall=10.0, cpu=10.0, sites=(site("optimizer", path, 6, 1.9, calls=2000),),
        facts=facts(loaders=[loader_row(path, 4)]),
    )  # fmt: skip
    assert "tiny_batches" not in found(evidence)


def test_elements_read_one_by_one_are_read_at_once(tmp_path: Path) -> None:
    path = script(tmp_path, READING)
    evidence = Evidence(
        wall=4.0, cpu=4.0, sites=(site("sync", path, 4, 0.4, calls=30_000),),
        lines=(line(path, 4, 3.0, 3.0),), facts=facts(),
    )  # fmt: skip
    one = found(evidence)["single_elements"]
    assert one.share == pytest.approx(0.75)
    assert one.fix.patched.splitlines()[2:5] == [
        "    prices_list = prices.tolist()",
        "    for at in range(limit):",
        "        sum_ += prices_list[at]",
    ]


def test_a_tensor_that_the_loop_changes_is_not_read_before_it(tmp_path: Path) -> None:
    path = script(
        tmp_path, READING.replace("sum_ += prices", "prices[at] = 1.0\n            sum_ += prices")
    )
    evidence = Evidence(
        wall=4.0, cpu=4.0, sites=(site("sync", path, 5, 3.0, calls=30_000),), facts=facts()
    )
    assert found(evidence)["single_elements"].fix.kind == "advice"


def test_one_item_a_step_is_no_finding(tmp_path: Path) -> None:
    path = script(tmp_path, READING)
    evidence = Evidence(wall=4.0, cpu=4.0, sites=(site("sync", path, 4, 3.0, calls=200),))
    assert findings_of(evidence) == []


CONVERTING = """
    import torch

    def main(history, steps):
        scale = 2.0
        for step in range(steps):
            bars = torch.tensor(history).to("cpu")
            print(bars[step] * scale)
"""


def test_what_no_loop_changes_is_converted_before_it(tmp_path: Path) -> None:
    path = script(tmp_path, CONVERTING)
    evidence = Evidence(wall=4.0, cpu=4.0, sites=(site("copy", path, 6, 3.0, size=1e9),))
    one = found(evidence)["repeated_copies"]
    assert '    converted = torch.tensor(history).to("cpu")\n    for step' in one.fix.patched
    assert "        bars = converted\n" in one.fix.patched


def test_what_the_loop_changes_stays_inside(tmp_path: Path) -> None:
    path = script(tmp_path, CONVERTING.replace("scale)", "scale); history = history[1:]"))
    evidence = Evidence(wall=4.0, cpu=4.0, sites=(site("copy", path, 6, 3.0, size=1e9),))
    assert found(evidence)["repeated_copies"].fix.kind == "advice"


LOOPING = """
    import numpy as np


    def smooth(prices):
        found = np.zeros(len(prices))
        for at in range(1, len(prices)):
            found[at] = 0.9 * found[at - 1] + 0.1 * prices[at]
        return found
"""


def looping(path: Path, bytecode: int) -> Evidence:
    return Evidence(
        wall=10.0, cpu=10.0, lines=(line(path, 7, 8.0, 8.0),),
        interpreted={(str(path), 7): (100, bytecode)},
    )  # fmt: skip


def test_a_numeric_function_is_given_to_numba(tmp_path: Path) -> None:
    path = script(tmp_path, LOOPING)
    one = found(looping(path, 95))["python_loop"]
    assert "+import numba\n" in one.fix.text
    assert "+@numba.njit\n def smooth" in one.fix.text


def test_a_loop_whose_time_is_inside_numpy_is_no_python_loop(tmp_path: Path) -> None:
    assert findings_of(looping(script(tmp_path, LOOPING), 3)) == []


def test_a_function_with_other_things_in_it_gets_advice_only(tmp_path: Path) -> None:
    text = LOOPING.replace("found[at] = 0.9", "print(at)\n            found[at] = 0.9")
    path = script(tmp_path, text)
    evidence = Evidence(wall=10.0, cpu=10.0, lines=(line(path, 8, 8.0, 8.0),))
    assert found(evidence)["python_loop"].fix.kind == "advice"


def test_growth_is_named_with_what_it_keeps(tmp_path: Path) -> None:
    path = script(tmp_path, "losses = []\nfor _ in range(9):\n    losses.append(loss)\n")
    grown = {
        "file": str(path), "function": "<module>", "name": "losses", "kind": "list", "before": 10,
        "after": 900, "element": "Tensor", "element_bytes": 68, "held_bytes": 61_200,
        "elements": 1, "keeps_graph": True,
    }  # fmt: skip
    rising = tuple((0.1 * at, 10**8 + at * 10**7) for at in range(50))
    one = found(Evidence(wall=5.0, cpu=5.0, samples=rising, grown=(grown,), free_bytes=10**10))
    leak = one["growing_memory"]
    assert leak.resource == "memory"
    assert leak.place.endswith("job.py:3")
    assert "+    losses.append(loss.item())" in leak.fix.text
    level = tuple((at, 10**9) for at, _ in rising)
    assert findings_of(Evidence(wall=5.0, cpu=5.0, samples=level, grown=(grown,))) == []


def held_by(path: Path) -> dict[str, object]:
    """A list of a script that came to hold 90 tensors of 4 MiB."""
    return {
        "file": str(path), "function": "main", "name": "held", "kind": "list", "before": 0,
        "after": 90, "element": "Tensor", "element_bytes": 4 * 2**20, "held_bytes": 360 * 2**20,
        "elements": 2**20, "keeps_graph": False,
    }  # fmt: skip


def test_no_more_than_what_came_after_the_imports_can_be_freed(tmp_path: Path) -> None:
    path = script(tmp_path, "held = []\n")
    rising = tuple((1.0 + 0.1 * at, 2 * 10**8 + at * 10**7) for at in range(61))  # 800 MB
    late = Evidence(
        wall=7.1, cpu=5.0, samples=rising, imports=0.9, grown=(held_by(path),), free_bytes=10**10
    )
    whole = replace(late, samples=((0.5, 5 * 10**7), (0.8, 10**8), *rising))
    assert found(late)["growing_memory"].gain_high == pytest.approx(4.0)
    assert found(whole)["growing_memory"].gain_high == pytest.approx(8.0)


def test_growth_that_is_freed_at_the_end_is_growth_all_the_same(tmp_path: Path) -> None:
    path = script(tmp_path, "held = []\n")
    rising = [(0.1 * at, 10**8 + at * 10**7) for at in range(50)]
    samples = (*rising, (5.1, 10**8))
    assert "growing_memory" in found(
        Evidence(wall=5.2, cpu=5.0, samples=samples, grown=(held_by(path),), free_bytes=10**10)
    )


def test_more_threads_than_cores_are_cut_where_they_are_set(tmp_path: Path) -> None:
    path = script(tmp_path, "import torch\ntorch.set_num_threads(16)\n")
    row = {"file": str(path), "line": 2, "values": [16]}
    evidence = Evidence(
        wall=10.0, cpu=10.0, cores=4, facts=facts(threads=16, threads_set=[row]),
        sites=(site("forward", path, 2, 6.0),),
    )  # fmt: skip
    assert "+torch.set_num_threads(4)" in found(evidence)["too_many_threads"].fix.text


def test_threads_from_the_environment_are_cut_there() -> None:
    evidence = Evidence(wall=10.0, cpu=10.0, cores=2, environment={"OMP_NUM_THREADS": "64"})
    assert found(evidence)["too_many_threads"].fix.environment == {"OMP_NUM_THREADS": "2"}
    fitting = Evidence(wall=10.0, cpu=10.0, cores=2, environment={"OMP_NUM_THREADS": "2"})
    assert findings_of(fitting) == []


def test_a_debugging_variable_is_taken_away() -> None:
    evidence = Evidence(wall=10.0, cpu=10.0, environment={"PYTHONDEVMODE": "1"})
    assert found(evidence)["debug_switch"].fix.text == "unset PYTHONDEVMODE"
    off = Evidence(wall=10.0, cpu=10.0, environment={"PYTHONDEVMODE": "0"})
    assert findings_of(off) == []


def test_a_debugging_variable_does_not_hide_what_else_the_environment_does() -> None:
    given = {"TORCH_CPP_LOG_LEVEL": "INFO", "OMP_NUM_THREADS": "16"}
    evidence = Evidence(wall=10.0, cpu=10.0, cores=2, environment=given)
    assert {"debug_switch", "too_many_threads"} <= set(found(evidence))


def test_checkpoints_are_written_beside_the_training(tmp_path: Path) -> None:
    path = script(tmp_path, "import torch\n\n\ndef main(state):\n    torch.save(state, 'a.pt')\n")
    evidence = Evidence(wall=10.0, cpu=10.0, sites=(site("checkpoint", path, 5, 4.0, calls=8),))
    one = found(evidence)["waiting_checkpoint"]
    assert "SAVING.submit(torch.save, copy.deepcopy(state), 'a.pt')" in one.fix.patched
    compile(one.fix.patched, "a.py", "exec")


def test_memory_that_runs_out_comes_before_time_that_is_lost() -> None:
    evidence = Evidence(wall=10.0, cpu=10.0, imports=6.0)
    start = found(evidence)["start_up"]
    assert start.fix.kind == "advice"
    assert start.worth < 0.1  # a longer run pays it once: seldom worth the first place


def test_every_diff_applies_with_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = script(tmp_path, LOOPING)
    fix = found(looping(path, 95))["python_loop"].fix
    done = subprocess.run(
        ["patch", "-p0"], input=fix.text, capture_output=True, text=True, check=False
    )
    if done.returncode == 127:
        pytest.skip("patch is not installed")
    assert done.returncode == 0, done.stderr
    assert path.read_text() == fix.patched
