"""A policy that breaks down by an error of its own ends the run, what was found is kept; it is not started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.small_runs import SMALL, Watching, run, write
from vmdedup.breakdown import in_a_line
from vmdedup.cli import run_command
from vmdedup.errors import BrokeDownError, WorkerDiedError
from vmdedup.host.memory import Host
from vmdedup.policy.table import load_policy
from vmdedup.result.opening import open_result
from vmdedup.run.measure.rows import Row
from vmdedup.run.run import BROKEN
from vmdedup.scanner.process import Order, ScannerProcess
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled

TEXT = SMALL.replace("[ksm]", '[host]\nsample_interval = "200ms"\n[ksm]')
POLICY = """\
import os, signal, sys
from vmdedup.policy.none import NoPolicy


class Broken(NoPolicy):
    name = "broken"
    source = "nowhere"

    def charge(self, now_ms, cpu_ms):
        self.now_ms = now_ms

    def {method}(self, *arguments):
        if {when}:
            {what}
        return super().{method}(*arguments)
"""
LATE = "self.now_ms > 1000"
WRONG = 'raise ValueError("no such\\n  page")'
LINE = 14  # of what it does


def policy(folder: Path, what: str, method: str = "scan", when: str = LATE) -> str:
    """A policy that does something in a method of its, after a second or at once."""
    path = folder / "broken.py"
    path.write_text(POLICY.format(method=method, when=when, what=what))
    return str(path)


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (WRONG, f"ValueError: no such page ({{path}}:{LINE})"),
        ("sys.exit(3)", f"SystemExit: 3 ({{path}}:{LINE})"),
        ("os._exit(3)", "it ended by itself, exit status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    ],
)
def test_it_ends_the_run_and_what_was_found_is_kept(clock: str, what: str, said: str, tmp_path: Path) -> None:
    path = policy(tmp_path, what)
    result = run(tmp_path, TEXT, Overrides(policy=path, clock=clock))
    assert result.run["ended"] == BROKEN
    last = result.run["events"][-1]["text"]
    assert last == f"policy {path} broke down: {said.format(path=path)}"
    assert not any("started again" in event["text"] for event in result.run["events"])
    assert 2 <= len(result.series) < 16
    assert result.guests["state"].to_list() == ["running"] * 3
    assert result.guests["ksm_merging_pages"].to_list() == [None] * 3
    assert result.guests["allocated_pages"].min() > 0  # type: ignore[operator]
    assert result.summary["guests"][0]["ksm_merging_pages"] is None


class Late(Watching):
    """Makes a file once there are three rows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def sample(self, row: Row) -> None:
        super().sample(row)
        if len(self.rows) == 3:
            self._path.touch()


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_one_that_is_killed_whenever_it_scans_is_given_up(clock: str, tmp_path: Path) -> None:
    path = policy(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", when=f"os.path.exists({str(tmp_path / 'late')!r})")
    watcher = Late(tmp_path / "late")
    result = run(tmp_path, TEXT, Overrides(policy=path, clock=clock), watcher)
    texts = [event["text"] for event in result.run["events"]]
    died = f"policy {path} has died (killed by SIGKILL)"
    assert result.run["ended"] == BROKEN
    assert texts.count(f"{died}; it is started again") == 20
    assert texts[-1] == f"{died}, 21 times in a row before it had done anything"


def test_the_command_says_it_in_a_line_and_exits_with_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = policy(tmp_path, WRONG), tmp_path / "out"
    arguments = ["run", str(write(tmp_path, TEXT)), "--policy", path, "--output", str(out), "--quiet"]
    assert run_command(arguments) == 1
    error, where = capfd.readouterr().err.splitlines()
    assert error == f"error: policy {path} broke down: ValueError: no such page ({path}:{LINE})"
    assert where == f"who scans has broken down; mend it, and run again; the results so far are in {out}"
    assert open_result(out).run["ended"] == BROKEN


@pytest.mark.parametrize("method", ["__init__", "enter", "scan"])
def test_before_there_is_anything_to_keep(method: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = policy(tmp_path, "raise KeyError(7)", method, "True"), tmp_path / "out"
    assert run_command(["run", str(write(tmp_path)), "--policy", path, "--output", str(out), "-q"]) == 1
    (error,) = capfd.readouterr().err.splitlines()
    assert error == f"vmdedup: policy {path} broke down: KeyError: 7 ({path}:{LINE})"
    assert not out.exists()


def test_another_policy_of_the_same_run_has_its_turn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = policy(tmp_path, WRONG), tmp_path / "out"
    arguments = ["run", str(write(tmp_path, TEXT)), "--policy", f"{path},ksm", "--output", str(out), "--quiet"]
    assert run_command(arguments) == 1
    assert "broke down: ValueError: no such page" in capfd.readouterr().err
    assert open_result(out / "broken").run["ended"] == BROKEN
    assert open_result(out / "ksm").run["ended"] == "complete"


def test_a_process_that_broke_down_says_so_again_and_is_no_more(tmp_path: Path) -> None:
    host = Host.create(8)
    process = ScannerProcess(host, Order(policy(tmp_path, WRONG, when="True")))
    for _ in range(2):
        with pytest.raises(BrokeDownError, match="ValueError: no such page"):
            process.scan(1)
    with pytest.raises(WorkerDiedError):
        process.counters()
    process.close()
    host.close()


def test_the_place_is_where_its_author_can_mend_it(tmp_path: Path) -> None:
    """What is called from there may be ours, or a library's; errors of ours alone have their own place."""
    path = policy(tmp_path, "self.host.memory(0).write(0, None)", when="True")
    host = Host.create(8)
    with pytest.raises(TypeError) as raised:
        load_policy(path)(host).scan(1)
    assert in_a_line(raised.value).endswith(f"({path}:{LINE})")
    host.close()
    assert in_a_line(ValueError("x" * 400)) == f"ValueError: {'x' * 300}"
