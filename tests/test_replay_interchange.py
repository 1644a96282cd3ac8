"""What files bring in is what they say: environments, episodes, and faults by their name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from aitrade_cli.errors import AitradeError
from aitrade_cli.replay.about import about
from aitrade_cli.replay.interchange import importing, lanes
from aitrade_cli.replay.interchange.exporting import export
from aitrade_cli.replay.interchange.importing import CannotImport, ImportReport, import_into
from aitrade_cli.replay.schema import Field, Schema, SchemaMismatch
from aitrade_cli.replay.store import ReplayStore

SCHEMA = Schema((Field("obs", "float32", (2,)), Field("act", "int64"), Field("reward", "float32")))


def take(folder: Path, source: Path) -> ImportReport:
    return import_into(folder, str(source), None, capacity=5000)


def interleaved(folder: Path, envs: int = 3, steps: int = 60) -> ReplayStore:
    """Environment k ends an episode every 7 + k steps, by turns with and without a mark."""
    store = ReplayStore(folder, 5000, schema=SCHEMA)
    for step in range(steps):
        for env in range(envs):
            length = 7 + env
            number, at = divmod(step, length)
            value = 1000.0 * env + 100 * number + at
            ends = at == length - 1
            store.add(
                np.full(2, value, np.float32),
                1000 * env + step,
                value,
                np.full(2, value + 1, np.float32),
                terminated=ends and number % 2 == 0,
                env=env,
            )
    store.commit()
    return store


def rebuilt(store: ReplayStore, **wish: Any) -> dict[int, dict[str, np.ndarray]]:
    """Every transition by its action, as a batch holds it."""
    rows = np.arange(store.first, store.total)
    batch = store.rows(rows[store.sampleable(rows)], **wish)
    return {
        int(act): {name: np.asarray(batch[name])[k] for name in batch}
        for k, act in enumerate(np.asarray(batch["act"]).tolist())
    }


def alike(one: Mapping[int, Any], other: Mapping[int, Any]) -> None:
    assert one.keys() == other.keys()
    for act, fields in one.items():
        for name, value in fields.items():
            assert np.array_equal(value, other[act][name]), (act, name)


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_interleaved_environments_come_back_as_they_were(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 50)  # episodes are cut by it
    with interleaved(tmp_path / "a") as store:
        export(store, str(tmp_path / f"all.{ending}"))
        report = take(tmp_path / "b", tmp_path / f"all.{ending}")
        assert report.episodes == store.ring.next_episode
        assert report.transitions_live == store.drawable() == 180
        with ReplayStore(tmp_path / "b", mode="r") as again:
            for wish in ({}, {"n_step": 4}, {"window": 3}, {"n_step": 2, "window": 5}):
                alike(rebuilt(store, **wish), rebuilt(again, **wish))


def test_an_episode_that_broke_off_is_not_continued_by_one_that_begins_alike(
    tmp_path: Path,
) -> None:
    states = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.savez(
        tmp_path / "x.npz",
        obs=states[:-1],
        next_obs=states[1:],
        act=np.arange(5),
        reward=np.ones(5),
        terminated=np.zeros(5, np.bool_),
        episode=np.array([4, 4, 4, 9, 9]),
    )
    assert take(tmp_path / "s", tmp_path / "x.npz").episodes == 2
    with ReplayStore(tmp_path / "s", mode="r") as store:
        found = rebuilt(store, n_step=5, discount=1.0)
    assert [float(found[act]["reward"]) for act in range(5)] == [3, 2, 1, 2, 1]


def test_episodes_that_are_mixed_without_an_environment_are_refused(tmp_path: Path) -> None:
    given: dict[str, Any] = columns(4) | {"episode": np.array([0, 1, 0, 1])}
    np.savez(tmp_path / "x.npz", **given)
    with pytest.raises(lanes.MixedEpisodes, match="episode 0 goes on in row 2, after another"):
        take(tmp_path / "s", tmp_path / "x.npz")


@pytest.mark.parametrize("env", [np.array([0, -1, 0, 0]), np.array([0.5, 0, 0, 0])])
def test_an_environment_is_a_whole_number(env: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **columns(4), env=env)
    with pytest.raises(AitradeError, match="`env` is not made of whole numbers"):
        take(tmp_path / "s", tmp_path / "x.npz")


def columns(rows: int) -> dict[str, Any]:
    states = np.arange(2 * rows + 2, dtype=np.float32).reshape(-1, 2)
    return {
        "obs": states[:-1],
        "next_obs": states[1:],
        "act": np.arange(rows),
        "reward": np.ones(rows),
        "done": np.arange(rows) == rows - 1,
    }


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        ([[1.0, 2.0, 3.0], [4.0], [5.0, 6.0]], "`obs` differ in length: 1 to 3"),
        ([[1.0, 2.0], [], [5.0, 6.0]], "`obs` differ in length: 0 to 2"),
        ([[], [], []], "`obs` are empty"),
        ([[1.0, None], [3.0, 4.0], [5.0, 6.0]], "`obs` has missing values"),
        ([[1.0, 2.0], None, [5.0, 6.0]], "`obs` has missing values"),
        ([[[1.0], None], [[3.0], [4.0]], [[5.0], [6.0]]], "`obs` has missing values"),
        ([[[1.0], [2.0, 3.0]], [[4.0], [5.0]], [[6.0], [7.0]]], "`obs` differ in length: 1 to 2"),
    ],
)
def test_lists_of_different_length_and_gaps_are_refused(
    obs: list[Any], said: str, tmp_path: Path
) -> None:
    rest = {name: value.tolist() for name, value in columns(3).items() if "obs" not in name}
    parquet.write_table(pa.table({"obs": obs, **rest}), tmp_path / "x.parquet")
    with pytest.raises(CannotImport, match=said):
        take(tmp_path / "s", tmp_path / "x.parquet")
    assert not (tmp_path / "s").exists()


def test_nested_lists_of_one_length_become_axes(tmp_path: Path) -> None:
    states = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    rest = {name: value.tolist() for name, value in columns(2).items() if "obs" not in name}
    table = pa.table({"obs": states.tolist(), "next_obs": (states + 1).tolist(), **rest})
    parquet.write_table(table, tmp_path / "x.parquet")
    take(tmp_path / "s", tmp_path / "x.parquet")
    with ReplayStore(tmp_path / "s", mode="r") as store:
        assert np.array_equal(store.rows(np.array([0, 2]))["obs"], states)


def bad_files() -> dict[str, tuple[dict[str, Any] | bytes, str]]:
    whole = columns(4)
    return {
        "empty": (b"", "it is no .npz file"),
        "text": (b"obs,act\n1,2\n", "it is no .npz file"),
        "no rows": ({name: value[:0] for name, value in whole.items()}, "holds no transition"),
        "no act": ({k: v for k, v in whole.items() if k != "act"}, "has no `act`"),
        "no reward": ({k: v for k, v in whole.items() if k != "reward"}, "has no `reward`"),
        "no end": ({k: v for k, v in whole.items() if k != "done"}, "neither `terminated` nor"),
        "no obs": ({k: v for k, v in whole.items() if "obs" not in k}, "has no `obs`"),
        "nan": (whole | {"reward": np.array([0, 1, np.nan, 3])}, "reward of row 2 of .* is nan"),
        "inf": (whole | {"reward": np.array([0, -np.inf, 2, 3])}, "reward of row 1 of .* is -inf"),
        "objects": (whole | {"act": np.array([{}] * 4)}, "`act` holds Python objects"),
        "words": (whole | {"act": np.array(["a"] * 4)}, "no dtype that a field can have"),
        "huge": (whole | {"reward": np.full(4, 1e300)}, "too large for float32"),
        "lengths": (whole | {"act": np.zeros(3)}, "differ in length"),
    }


@pytest.mark.parametrize("kind", bad_files())
def test_a_file_that_is_wrong_is_named_and_leaves_no_store(kind: str, tmp_path: Path) -> None:
    given, said = bad_files()[kind]
    path = tmp_path / "x.npz"
    if isinstance(given, bytes):
        path.write_bytes(given)
    else:
        np.savez(path, **given)
    with pytest.raises(AitradeError, match=said) as caught:
        take(tmp_path / "s", path)
    assert "pickle" not in f"{caught.value} {caught.value.hint}"
    assert not (tmp_path / "s").exists()


def test_a_file_with_a_changed_or_missing_byte_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "x.npz"
    np.savez_compressed(whole, **columns(200))
    data = whole.read_bytes()
    for at in range(60, len(data), 211):
        torn = bytearray(data)
        torn[at] ^= 0x55
        for name, content in (("flip", bytes(torn)), ("cut", data[:at])):
            path = tmp_path / f"{name}{at}.npz"
            path.write_bytes(content)
            try:
                take(tmp_path / f"{name}{at}", path)
            except AitradeError:
                continue
            # the change hit a place that means nothing: then what came in is what was there
            with ReplayStore(tmp_path / f"{name}{at}", mode="r") as store:
                found = rebuilt(store)
            assert sorted(found) == list(range(200))


def test_a_line_without_an_end_mark_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    row = {"obs": [0.0], "act": 1, "reward": 0.5, "next_obs": [1.0]}
    path.write_text(json.dumps(row) + "\n")
    with path.open() as lines, pytest.raises(AitradeError, match="line 1 has no `done`"):
        import_into(tmp_path / "s", "-", lines, capacity=10)


def test_import_and_info_count_the_same_transitions(tmp_path: Path) -> None:
    """As D4RL without next observations: nobody says where a cut episode ended."""
    cut = np.zeros(100, np.bool_)
    cut[9::10] = True
    np.savez(
        tmp_path / "x.npz",
        observations=np.arange(200, dtype=np.float32).reshape(100, 2),
        actions=np.zeros(100, np.int64),
        rewards=np.ones(100, np.float32),
        terminals=np.zeros(100, np.bool_),
        timeouts=cut,
    )
    report = take(tmp_path / "s", tmp_path / "x.npz")
    assert (report.transitions, report.rows_live, report.transitions_live) == (100, 100, 90)
    assert about(tmp_path / "s").transitions == 90
    with ReplayStore(tmp_path / "s", mode="r") as store:
        assert (len(store), store.drawable()) == (100, 90)


def test_too_large_a_number_into_a_store_that_is_there_is_a_mismatch(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **columns(4))
    take(tmp_path / "s", tmp_path / "x.npz")
    given: dict[str, Any] = columns(4) | {"reward": np.full(4, 1e300)}
    np.savez(tmp_path / "y.npz", **given)
    with pytest.raises(SchemaMismatch, match="too large for float32"):
        take(tmp_path / "s", tmp_path / "y.npz")
