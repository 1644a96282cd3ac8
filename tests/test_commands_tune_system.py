"""`aitrade tune-system` as a person types it, on a copy of a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aitrade_cli.main import run
from aitrade_cli.system.tuning import confirm as confirming
from aitrade_cli.system.tuning import work
from aitrade_cli.system.tuning.confirm import NothingWaits, confirm, guard
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.journal import read_runs
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.tree import Tree
from tests.test_system_tuning_apply import apply
from tests.tuning_hosts import closed, debian, snapshot

FORMS = ("env", "systemd", "dockerfile", "kubernetes", "ansible")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return debian(tmp_path / "host")


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    line = ["tune-system", "--root", "host", *words]
    monkeypatch.setattr("sys.argv", ["aitrade", *line])
    return run(line)


def test_a_plan_exits_0_fits_80_columns_and_changes_nothing(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(host)
    assert typed(monkeypatch) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("18 settings would change; nothing was changed")
    assert "Never set: cargo cult" in out
    assert snapshot(host) == before
    assert not (host / "var").exists()


def test_apply_verify_history_and_revert(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(host)
    assert typed(monkeypatch, "--verify") == 1
    assert typed(monkeypatch, "--apply") == 0
    assert "undo: aitrade tune-system" in capsys.readouterr().out
    assert typed(monkeypatch, "--verify") == 0
    assert typed(monkeypatch, "--history") == 0
    assert "in force" in capsys.readouterr().out
    assert typed(monkeypatch, "--apply") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert typed(monkeypatch, "--revert", "all") == 0
    assert snapshot(host) == before
    assert typed(monkeypatch, "--revert") == 0
    assert "nothing to undo" in capsys.readouterr().out


def test_json_holds_the_fields_of_the_page(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert host.exists()
    assert typed(monkeypatch, "--json") == 0
    plan = json.loads(capsys.readouterr().out)["data"]
    assert plan["host"]["cores_budget"] == 4
    assert set(plan["lines"][0]) >= {"current", "wanted", "rule", "source", "verdict", "risk"}
    assert typed(monkeypatch, "--apply", "--json") == 0
    done = json.loads(capsys.readouterr().out)["data"]
    assert {line["outcome"] for line in done["outcomes"]["lines"]} <= {"applied", "already"}
    assert {"key", "standing"} <= set(done["verified"]["lines"][0])
    for verb in ("--verify", "--history", "--revert"):
        assert typed(monkeypatch, verb, "--json") == 0
        assert json.loads(capsys.readouterr().out)["kind"] == "report"


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_plain_text_with_the_same_values(
    host: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    assert host.exists()
    assert typed(monkeypatch, "--emit", form, "--purpose", "feed") == 0
    out = capfd.readouterr().out
    assert out.startswith(f"# aitrade tune-system --purpose feed --emit {form}\n")
    assert "OMP_NUM_THREADS" in out
    assert "vm.swappiness" in out
    assert (form == "env") is ("4096 131072 16777216" not in out)


def test_an_environment_file_is_read_by_a_shell(
    host: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from aitrade_cli.system.tuning.facts import parse_environment

    assert host.exists()
    assert typed(monkeypatch, "--emit", "env") == 0
    found = parse_environment(capfd.readouterr().out)
    assert found["MALLOC_MMAP_THRESHOLD_"] == str(1 << 30)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--apply", "--verify"), 2),
        (("--prove",), 2),
        (("stray",), 2),
        (("--revert", "a", "b"), 2),
        (("--emit", "nothing"), 2),
        (("--only", "nothing"), 2),
        (("--purpose", "fun"), 2),
        (("--runtime-only", "--persist"), 2),
        (("--rounds", "4"), 2),
        (("--revert", "20200101-000000-abcd"), 4),
        (("--confirm",), 6),
        (("--prove", "--", "no-such-program-here"), 4),
    ],
)
def test_what_cannot_be_meant_or_done_has_its_exit_code(
    host: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    before = snapshot(host)
    assert typed(monkeypatch, *words) == code
    assert snapshot(host) == before


def test_a_root_that_is_not_there_exits_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["aitrade", "tune-system", "--root", "none"])
    assert run(["tune-system", "--root", "none"]) == 4


def test_what_is_not_permitted_exits_5_and_a_strange_file_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    closed(tmp_path / "host")
    assert typed(monkeypatch, "--apply") == 5
    out = capsys.readouterr().out
    assert "Read-only file system" in out
    assert typed(monkeypatch, "--revert") == 0
    (tmp_path / "host/etc/aitrade").mkdir()
    (tmp_path / "host/etc/aitrade/tune.env").write_text("MINE=1\n")
    assert typed(monkeypatch, "--apply", "--only", "env") == 6
    assert (tmp_path / "host/etc/aitrade/tune.env").read_text() == "MINE=1\n"


def test_only_what_was_named_is_applied(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "--apply", "--only", "vm", "--skip", "vm.swappiness,32") == 0
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert (host / "proc/sys/vm/max_map_count").read_text() == "262144\n"
    assert not (host / "etc/aitrade").exists()


def test_a_command_that_gains_nothing_leaves_the_host_as_it_was(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(host)
    assert (
        typed(monkeypatch, "--apply", "--prove", "--only", "env.OMP_NUM_THREADS", "--", "true") == 0
    )
    out = capsys.readouterr().out
    assert "Measured on the command" in out
    assert "noise up to" in out
    assert max(map(len, out.splitlines())) <= 80
    if "nothing to do" in out:  # a busy machine may call it a gain, five times of a hundred
        assert snapshot(host) == before


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_run_that_nobody_confirms_is_undone_by_its_guard(host: Path) -> None:
    tree, before, clock = Tree(host), snapshot(host), Clock()
    done = apply(tree, confirm_seconds=3.0)
    assert guard(tree, places_for(tree), done.run_id or "", 3.0, clock=clock, sleep=clock.sleep)
    assert clock.now == pytest.approx(3.0, abs=0.2)
    assert snapshot(host) == before


def test_a_confirmed_run_stays(host: Path) -> None:
    tree, clock = Tree(host), Clock()
    places = places_for(tree)
    done = apply(tree, confirm_seconds=60.0)
    assert read_runs(tree, places)[0].state == "unconfirmed"
    assert confirm(tree, places) == done.run_id
    assert not guard(tree, places, done.run_id or "", 60.0, clock=clock, sleep=clock.sleep)
    assert read_runs(tree, places)[0].state == "in force"
    with pytest.raises(NothingWaits):
        confirm(tree, places)


def test_a_guard_undoes_a_run_that_was_killed_while_it_applied(host: Path) -> None:
    tree, before, clock = Tree(host), snapshot(host), Clock()
    places = places_for(tree)

    class Killed(BaseException):
        pass

    def kill(point: str) -> None:
        if point == "written 7":
            raise Killed

    with pytest.raises(Killed):
        apply(tree, confirm_seconds=1.0, at=kill)
    run_id = read_runs(tree, places)[0].id
    assert guard(tree, places, run_id, 1.0, clock=clock, sleep=clock.sleep)
    assert snapshot(host) == before


def test_the_guard_is_a_process_of_its_own_that_outlives_nothing(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(host)
    monkeypatch.setattr(confirming, "POLL_SECONDS", 0.01)
    assert typed(monkeypatch, "--apply", "--only", "vm", "--confirm-timeout", "0.1") == 1
    assert "undone: nobody confirmed in time" in capsys.readouterr().out
    assert snapshot(host) == before


def test_a_yes_at_the_terminal_keeps_the_run(host: Path) -> None:
    tree = Tree(host)
    asked = work.Asked(only=("vm.swappiness",), confirm_seconds=30.0)
    report = work.apply_host(tree, asked, said_yes=lambda _: True)
    assert (report.undone, report.exit_code) == (False, 0)
    assert tree.text("/proc/sys/vm/swappiness") == "10"
    assert make_plan(read_facts(tree), only=["vm.swappiness"]).changes == 0
