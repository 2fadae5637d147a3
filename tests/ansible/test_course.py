"""A run by Ansible with an ansible-playbook that only says that it did: order, failures, Ctrl-C, what is left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from kit.processes import until
from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.live.guardian.program import marked_processes
from vmdedup.live.guests import away
from vmdedup.live.provision import course, playbook
from vmdedup.live.provision.course import Report, Wishes, document, provision
from vmdedup.live.provision.plan import GuestPlan, RunPlan

# Says what ansible-playbook would say. `behave` beside it holds, by playbook: "fail", "hang", "change", "crash".
PROGRAM = """#!{python}
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
behave = json.loads((here / "behave").read_text())
books = [Path(word).stem for word in sys.argv if word.endswith(".yml")]
inventory = json.loads(Path(sys.argv[sys.argv.index("-i") + 1]).read_text())["all"]
directory, results = Path(inventory["vars"]["vmdedup_directory"]), Path(inventory["vars"]["measure_results"])
with (here / "played").open("a") as file:
    print(*books, file=file)

def say(kind, **more):
    print(json.dumps({{"_event": kind, "_timestamp": "2026-11-23T12:55:11.250000Z", **more}}), flush=True)

for book in books:
    task, how = {{"name": book + " : Do it"}}, behave.get(book)
    say("v2_playbook_on_task_start", task=task, hosts={{}})
    if how == "fail":
        say("v2_runner_on_failed", task=task, hosts={{"vmdedup-s-a": {{"msg": "it broke"}}}})
        sys.exit(2)
    if how == "crash":
        sys.exit("ERROR! no such thing")
    if how == "hang":
        (here / "hangs").touch()
        while not (directory / "stop").exists() or book != "measure":
            time.sleep(0.01)
    if book == "measure":
        results.mkdir()
        (results / "run.json").write_text("{{}}")
    say("v2_runner_on_ok", task=task, hosts={{"vmdedup-s-a": {{"changed": how == "change"}}}})
say("v2_playbook_on_stats", stats={{"vmdedup-s-a": {{"changed": sum(behave.get(b) == "change" for b in books)}}}})
"""

Behave = Callable[..., Path]


@pytest.fixture
def guest() -> Iterator[subprocess.Popen[bytes]]:
    """What stands for a guest's QEMU."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def behave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guest: subprocess.Popen[bytes]) -> Behave:
    """behave(measure="fail") makes the ansible-playbook that does so; no root, no KSM and no QEMU are needed."""
    program = tmp_path / "ansible-playbook"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(course, "find_ansible", lambda: str(program))
    monkeypatch.setattr(course, "require_root", lambda: None)
    monkeypatch.setattr(course, "built", lambda name: None)
    monkeypatch.setattr(course, "choose", lambda wanted, images, note: "tcg")
    monkeypatch.setattr(course, "KsmSession", lambda wait, guardian: nullcontext())
    monkeypatch.setattr(course, "qemu_pid", lambda domain: guest.pid)

    def write(**how: str) -> Path:
        (tmp_path / "behave").write_text(json.dumps(how))
        return tmp_path

    return write


def plan() -> RunPlan:
    """One guest."""
    guest = GuestPlan("a", "a", "vmdedup-s-a", "tiny", 128, "idle", {}, 2201)
    return RunPlan("s", 1, (guest,), {"run": "1"}, 1.0, 1.0)


def run(folder: Path, stop: Callable[[], bool] = lambda: False, again: bool = False) -> Report:
    """Provision into folder/results."""
    return provision(plan(), folder / "results", Wishes(folder, again=again, stop=stop))


def played(folder: Path) -> list[str]:
    """The playbooks of each call so far."""
    return (folder / "played").read_text().splitlines()


def test_everything_is_played_in_order(behave: Behave) -> None:
    folder = behave()
    report = run(folder)
    assert played(folder) == ["prepare images", "guests workload", "measure collect", "teardown"]
    assert report.results
    assert not report.interrupted
    assert [list(step.playbooks) for step in report.steps][-1] == ["teardown"]
    kept = json.loads((folder / "results" / "provision.json").read_text())
    assert kept == json.loads(json.dumps(document(report)))
    assert kept["steps"][1]["tasks"][0]["task"] == "guests : Do it"
    assert "TASK measure : Do it" in (folder / "results" / "ansible.log").read_text()


def test_guests_do_not_outlive_a_run(behave: Behave, guest: subprocess.Popen[bytes]) -> None:
    run(behave())
    assert guest.wait(10) == -9, "teardown did nothing here, so the guardian had to"


def test_a_second_provisioning_that_changes_nothing_is_fine(behave: Behave) -> None:
    folder = behave()
    assert run(folder, again=True).results
    assert played(folder)[2] == "prepare images guests workload"


def test_a_second_provisioning_that_changes_something_is_named(behave: Behave) -> None:
    folder = behave(workload="change")
    with pytest.raises(VmdedupError, match=r"again changed something: workload : Do it \(vmdedup-s-a\)"):
        run(folder, again=True)
    assert played(folder)[-1] == "teardown"


@pytest.mark.parametrize("book", ["guests", "workload", "measure", "collect"])
def test_a_failure_is_named_and_all_is_taken_down(behave: Behave, book: str) -> None:
    folder = behave(**{book: "fail"})
    with pytest.raises(
        VmdedupError, match=rf"{book} : Do it: vmdedup-s-a: it broke; the log is .*results\.ansible\.log"
    ):
        run(folder)
    assert played(folder)[-1] == "teardown"
    assert (folder / "results.ansible.log").exists(), "the log outlives the folder of the run"


def test_nothing_is_taken_down_before_there_is_anything(behave: Behave) -> None:
    folder = behave(images="fail")
    with pytest.raises(VmdedupError, match="images : Do it"):
        run(folder)
    assert played(folder) == ["prepare images"]


def test_an_ansible_that_breaks_down_is_quoted(behave: Behave) -> None:
    with pytest.raises(VmdedupError, match=r"status 1; the log is .*: ERROR! no such thing"):
        run(behave(prepare="crash"))


def test_a_teardown_that_fails_says_what_removes_the_guests(behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(domains: Sequence[str]) -> None:
        raise EnvironmentLacksError("libvirtd is not running")

    monkeypatch.setattr(away, "take_away", refuse)
    folder = behave(measure="fail", teardown="fail")
    with pytest.raises(VmdedupError, match=r"measure : Do it.*; and guests may be left .*live remove vmdedup-s-a"):
        run(folder)


def test_ctrl_c_while_measuring_keeps_the_results(behave: Behave) -> None:
    folder = behave(measure="hang")
    report = run(folder, stop=(folder / "hangs").exists)
    assert (report.interrupted, report.results) == (True, True)
    assert played(folder)[-2:] == ["measure collect", "teardown"]


@pytest.mark.parametrize("book", ["images", "workload"])
def test_ctrl_c_before_that_ends_at_once(behave: Behave, book: str) -> None:
    folder = behave(**{book: "hang"})
    began = time.monotonic()
    report = run(folder, stop=(folder / "hangs").exists)
    assert time.monotonic() - began < 10
    assert (report.interrupted, report.results) == (True, False)
    assert (played(folder)[-1] == "teardown") == (book == "workload")


def test_what_a_run_has_started_goes_with_it(behave: Behave, tmp_path: Path) -> None:
    ansible = playbook.Ansible(tmp_path, "/bin/true", tmp_path / "log")
    with subprocess.Popen(["sleep", "60"], env=ansible.environment(), start_new_session=True) as process:
        while marked_processes(ansible.word) != [process.pid]:
            assert process.poll() is None
        ansible.end_leftovers()
        assert process.wait() == -9
    assert marked_processes(ansible.word) == []


OWNER = """
import os, sys, time
from pathlib import Path
from vmdedup.live.guardian.guardian import Guardian
with Guardian() as guardian:
    folder = guardian.folder("vmdedup-test-")
    with guardian.in_charge_of(sys.argv[1], "REMEDY", ["/bin/sh", "-c", sys.argv[2]]):
        print(folder, flush=True)
        sys.stdin.readline()
    print("left", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_what_a_killed_run_has_started_goes_too(tmp_path: Path, killed: bool) -> None:
    ansible = playbook.Ansible(tmp_path, "/bin/true", tmp_path / "log")
    taken = tmp_path / "taken"
    command = [sys.executable, "-c", OWNER, ansible.word, f"touch {taken}; exit 3"]
    with (
        subprocess.Popen(["sleep", "60"], env=ansible.environment(), start_new_session=True) as started,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as owner,
    ):
        assert owner.stdin is not None
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().decode().strip())
        assert folder.is_dir()
        if killed:
            owner.kill()
            assert started.wait(30) == -9
        else:
            owner.stdin.write(b"\n")
            owner.stdin.flush()
            assert owner.stdout.readline() == b"left\n"
        _, said = owner.communicate()
        until(lambda: not folder.exists())
        assert taken.exists() == killed
        assert said.decode() == ("vmdedup: REMEDY\n" if killed else "")
        if not killed:
            assert started.poll() is None
            started.kill()


def test_domains_are_taken_away_by_a_program_of_ours() -> None:
    """Where libvirt is not there it says so, in a line; names that it does not know need nothing."""
    done = subprocess.run(away.command(["vmdedup-t-no-such-guest"]), capture_output=True, text=True)
    assert done.stdout == ""
    assert (done.returncode == 0) == (done.stderr == "")
    assert done.stderr.count("\n") <= 1
    assert "vmdedup live remove a b" in away.remedy(["a", "b"])


def test_no_ansible_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacksError, match=r"pip install 'vmdedup\[ansible\]'"):
        playbook.find_ansible()
