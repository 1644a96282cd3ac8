"""The replay commands from the shell: what they say, write and end with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from tests.shell import ROOT
from tests.warm import aitrade

CARTPOLE = ROOT / "fixtures/rollouts"


def run(*words: str, cwd: Path, stdin: bytes = b"", code: int = 0) -> dict[str, Any]:
    """The report of one command."""
    done = aitrade("replay", *words, "--json", cwd=cwd, stdin=stdin)
    assert done.returncode == code, done.stderr.decode()
    stream = done.stdout if code in {0, 1} else done.stderr
    return json.loads(stream.decode().splitlines()[-1])["data"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in `buf`."""
    folder = tmp_path_factory.mktemp("filled")
    run("import", "buf", str(CARTPOLE / "cartpole.npz"), "--capacity", "10k", cwd=folder)
    return folder


def test_create_says_what_a_row_takes(tmp_path: Path) -> None:
    words = ("--obs", "position=3", "--obs", "image=8x8:uint8", "--act", "2:float32")
    made = run("create", "runs/buf", *words, "--capacity", "5M", cwd=tmp_path)
    assert made["capacity_rows"] == 5_000_000
    assert [field["name"] for field in made["fields"]] == [
        "obs.position",
        "obs.image",
        "act",
        "reward",
    ]
    assert made["full_size_bytes"] == 5_000_000 * made["record_bytes"]
    again = run("create", "runs/buf", *words, cwd=tmp_path, code=6)
    assert again["name"] == "ForeignFolder"


@pytest.mark.parametrize(
    "words",
    [
        ("--obs", "4:floot", "--act", "1"),
        ("--obs", "4", "--act", "1", "--capacity", "lots"),
        ("--obs", "4", "--act", "1", "--capacity", "0"),
        ("--obs", "4", "--act", "1", "--field", "3:float32"),
        ("--obs", "4", "--act", "1", "--codec", "nothing"),
        ("--act", "1"),
    ],
)
def test_create_refuses_what_it_cannot_mean(words: tuple[str, ...], tmp_path: Path) -> None:
    run("create", "buf", *words, cwd=tmp_path, code=2)
    assert list(tmp_path.iterdir()) == []


def test_info_shows_what_was_imported(filled: Path) -> None:
    said = run("info", "buf", cwd=filled)
    assert (said["transitions"], said["capacity_rows"], said["rows_lost"]) == (2000, 10_000, 0)
    assert said["codecs"].keys() == {"raw"}
    assert not said["being_written"]


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_what_is_exported_can_be_imported(ending: str, filled: Path, tmp_path: Path) -> None:
    run("export", "buf", "-o", str(tmp_path / f"all.{ending}"), cwd=filled)
    run("import", "again", f"all.{ending}", cwd=tmp_path)
    run("export", "again", "-o", "twice.npz", cwd=tmp_path)
    with np.load(CARTPOLE / "cartpole.npz") as first, np.load(tmp_path / "twice.npz") as last:
        assert all(np.array_equal(first[name], last[name]) for name in first.files)


def test_parquet_fields_keep_their_names(filled: Path, tmp_path: Path) -> None:
    run("export", "buf", "-o", str(tmp_path / "all.parquet"), cwd=filled)
    table = parquet.read_table(tmp_path / "all.parquet")
    assert {"obs", "act", "reward", "next_obs", "terminated", "truncated"} <= set(
        table.column_names
    )
    assert table.num_rows == 2000


def test_sample_writes_a_batch_that_a_seed_repeats(filled: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        target = str(tmp_path / f"{name}.npz")
        said = run("sample", "buf", "-b", "64", "--prioritized", "-o", target, cwd=filled)
    assert said["sampler"] == "proportional"
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as other:
        assert one["obs"].shape == (64, 4)
        assert one["weights"].shape == (64,)
        assert all(np.array_equal(one[name], other[name]) for name in one.files)
    windows = str(tmp_path / "w.npz")
    run("sample", "buf", "--stack", "3", "--n-step", "2", "-o", windows, cwd=filled)
    with np.load(windows) as batch:
        assert batch["next_obs"].shape == (256, 3, 4)


def test_an_output_that_is_there_stays(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"old")
    for verb in ("sample", "export"):
        said = run(verb, "buf", "-o", str(tmp_path / "x.npz"), cwd=filled, code=6)
        assert said["name"] == "WouldOverwrite"
    assert (tmp_path / "x.npz").read_bytes() == b"old"
    run("export", "buf", "-o", "x.csv", cwd=filled, code=2)


def line(state: float, act: int, *, done: bool = False, **more: Any) -> bytes:
    row = {"obs": [state], "act": act, "reward": 1, "done": done, "next_obs": [state + 1]}
    return json.dumps(row | more).encode() + b"\n"


def test_lines_from_stdin_are_taken(tmp_path: Path) -> None:
    lines = line(0, 1) + line(1, 0, done=True) + b"\n" + line(7, 1, done=True, truncated=True)
    assert run("import", "buf", "-", cwd=tmp_path, stdin=lines)["transitions"] == 3
    run("export", "buf", "-o", "all.npz", cwd=tmp_path)
    with np.load(tmp_path / "all.npz") as file:
        assert file["terminated"].tolist() == [False, True, False]
        assert file["truncated"].tolist() == [False, False, True]
        assert file["next_obs"].tolist() == [[1.0], [2.0], [8.0]]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"", "holds no transition"),
        (b"{]\n", "line 1 is no JSON"),
        (line(0, 1) + b'{"act": 1}\n', "line 2 has no `obs`"),
        (line(0, 1) + line(0, 1, log_prob=0.5), "line 2 and the ones before differ"),
        (line(0, 1) + line(0, 1, obs=[1, 2]), "`obs` has another shape"),
        (line(0, 1, obs="high"), "not made of numbers"),
    ],
)
def test_a_line_that_is_no_transition_is_named(lines: bytes, said: str, tmp_path: Path) -> None:
    done = aitrade("replay", "import", "buf", "-", cwd=tmp_path, stdin=lines)
    assert done.returncode == 4
    assert said in done.stderr.decode()


def test_a_file_with_other_fields_is_refused(filled: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "other.npz",
        obs=np.zeros((3, 2)),
        act=np.zeros(3),
        reward=np.zeros(3),
        done=np.zeros(3, np.bool_),
    )
    said = run("import", "buf", str(tmp_path / "other.npz"), cwd=filled, code=4)
    assert said["name"] == "SchemaMismatch"
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04")
    assert run("import", "n", str(tmp_path / "torn.npz"), cwd=tmp_path, code=4)
    assert run("import", "n", "nowhere.npz", cwd=tmp_path, code=4)["name"] == "CannotImport"
    assert run("import", "n", str(ROOT / "README.md"), cwd=tmp_path, code=4)


@pytest.mark.parametrize("kind", ["minari", "d4rl"])
def test_hdf5_is_read_under_the_names_of_others(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    states = np.arange(7, dtype=np.float32)[:, None]
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        if kind == "minari":
            for number in range(2):
                group = file.create_group(f"episode_{number}")
                group["observations"] = states
                group["actions"] = np.zeros((6, 1), np.float32)
                group["rewards"] = np.ones(6)
                group["terminations"] = np.arange(6) == 5
                group["truncations"] = np.zeros(6, bool)
        else:
            file["observations"] = np.concatenate([states[:-1]] * 2)
            file["next_observations"] = np.concatenate([states[1:]] * 2)
            file["actions"] = np.zeros((12, 1), np.float32)
            file["rewards"] = np.ones(12)
            file["terminals"] = np.arange(12) % 6 == 5
            file["timeouts"] = np.zeros(12, bool)
    assert run("import", "buf", "x.hdf5", cwd=tmp_path)["episodes"] == 2
    run("export", "buf", "-o", "all.npz", cwd=tmp_path)
    with np.load(tmp_path / "all.npz") as file:
        assert file["next_obs"][:, 0].tolist() == [1, 2, 3, 4, 5, 6] * 2
        assert np.flatnonzero(file["terminated"]).tolist() == [5, 11]


def test_verify_names_the_place_and_repair_mends_it(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled / "buf", tmp_path / "buf")
    path = next((tmp_path / "buf/segments").glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))
    (damage,) = run("verify", "buf", cwd=tmp_path, code=1)["damages"]
    assert damage["file"] == f"segments/{path.name}"
    shown = aitrade("replay", "verify", "buf", cwd=tmp_path)
    assert shown.returncode == 1
    assert b"Damaged in 1 place: 1 of 2,0" in shown.stdout
    assert run("compact", "buf", cwd=tmp_path, code=6)["name"] == "NeedsRepair"
    assert run("repair", "buf", cwd=tmp_path)["rows_lost"] == 1
    assert run("verify", "buf", cwd=tmp_path)["passed"]
    assert run("compact", "buf", "--codec", "zstd", cwd=tmp_path)["size_ratio"] < 1.0
    assert run("info", "buf", cwd=tmp_path)["codecs"].keys() == {"zstd"}


@pytest.mark.parametrize("verb", ["info", "verify", "repair", "compact", "sample", "export"])
def test_where_no_store_is_that_is_said(verb: str, tmp_path: Path) -> None:
    done = aitrade("replay", verb, "nothing", cwd=tmp_path)
    assert done.returncode == 4
    assert "there is no replay store at `nothing`" in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_a_group_without_a_verb_and_a_wrong_verb_end_in_2() -> None:
    assert aitrade("replay").returncode == 2
    wrong = aitrade("replay", "nothing")
    assert wrong.returncode == 2
    assert "`aitrade replay --help` lists what there is" in wrong.stderr.decode()
