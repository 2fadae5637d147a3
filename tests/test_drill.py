"""The drill in small: all commands are in it, a dozen of its cases, streams of quick commands; and that it can find."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from drill import TRIES, Drill
from kit.drill_case import (
    KSM_WAIT,
    Case,
    Disturb,
    Place,
    kill_command,
    kill_everything,
    kill_with_watchers,
    place,
    send,
)
from kit.drill_commands import COMMANDS, ELSEWHERE, INPUTS, Command
from kit.leftovers import tunables
from vmdedup.cli.app import app
from vmdedup.errors import EnvironmentLacksError
from vmdedup.signals import ENDING

pytestmark = pytest.mark.compiled
CHEAP = [name for name, command in COMMANDS.items() if command.cheap]
KILLED = [
    "run",
    "run wall",
    "run policies",
    "record",
    "record pause",
    "scan spooled",
    "replay",
    "experiment run beside",
]
SIGNALLED = ["run", "record", "policy list", "experiment run", "experiment run beside"]
# They go on until they are killed, however busy the machine is.
LONG = Command(f"run {INPUTS}/tiny.toml -o out --clock wall", makes="run")
LONG_ON_KERNEL = Command(f"run {INPUTS}/tiny.toml -o out --on kernel", makes="run", kernel=True)
SECONDS = 3.0  # in which they are killed, so that none need be run undisturbed before


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("drill"), kernel=False, made_by=()) as made:
        yield made


@pytest.fixture(scope="module")
def drill(here: Place) -> Drill:
    return Drill(here, seed=1)


def leaves(command: Any, words: tuple[str, ...] = ()) -> set[str]:
    """All commands below one, in words."""
    below = getattr(command, "commands", None)
    if below is None:
        return {" ".join(words)}
    return {leaf for name, each in below.items() for leaf in leaves(each, (*words, name))}


def test_every_command_is_drilled() -> None:
    known = leaves(typer.main.get_command(app))
    drilled = {name for name in known for each in COMMANDS.values() if f"{each.words} ".startswith(f"{name} ")}
    assert known - drilled == set(ELSEWHERE)
    folder = Path(__file__).parent
    files = {file for why in ELSEWHERE.values() for file in why.partition(":")[0].split(", ")}
    assert all((folder / file).is_file() for file in files)


def sound(drill: Drill, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = drill.wrong
    drill.tally.clear()
    assert not wrong, capsys.readouterr().out


def when_there_are_rows(kill: Disturb) -> Disturb:
    def disturb(case: Case) -> None:
        journal = case.cwd / "out" / "series.jsonl"
        while case.process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
            time.sleep(0.01)
        kill(case)

    return disturb


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_killed_at_a_random_moment(drill: Drill, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    drill.usual[name] = Case(COMMANDS[name], drill.place, random.Random(1), seconds=SECONDS)
    drill.kill(name, 1)
    sound(drill, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALLED)
def test_a_signal_at_a_random_moment(drill: Drill, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    drill.usual[name] = Case(COMMANDS[name], drill.place, random.Random(1), seconds=SECONDS)
    drill.interrupt(name, 1)
    sound(drill, capsys)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("kill", [kill_command, kill_with_watchers])
def test_a_run_on_the_kernel_is_killed(tmp_path: Path, kill: Disturb) -> None:
    with place(tmp_path, kernel=True, made_by=()) as here:
        if here.tunables is None:
            assert not os.environ.get("VMDEDUP_REQUIRE_KERNEL")
            pytest.skip("needs root and an idle /sys/kernel/mm/ksm")
        for _ in range(TRIES):
            case = Case(LONG_ON_KERNEL, here, random.Random(1)).run(when_there_are_rows(kill))
            if case.status != EnvironmentLacksError.exit_status:  # somebody else had the kernel's KSM
                break
            tunables(wait=KSM_WAIT)
    assert (case.status, case.faults) == (-signal.SIGKILL, [])


@pytest.mark.slow
@pytest.mark.parametrize("kill", [kill_command, kill_with_watchers, kill_everything])
def test_a_run_that_is_going_on_is_killed(here: Place, kill: Disturb) -> None:
    case = Case(LONG, here, random.Random(1)).run(when_there_are_rows(kill))
    assert (case.status, case.faults) == (-signal.SIGKILL, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_streams(drill: Drill, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    drill.undisturbed(name)
    drill.stream(name, "> /dev/full")
    sound(drill, capsys)


def test_a_signal_has_its_status_in_whatever_phase(here: Place) -> None:
    """typer would say 130 and nothing else; Python would die of SIGINT where the signal came in a text's execution."""
    for after in (0.1, 0.2, 0.3):
        case = Case(COMMANDS["policy list"], here, random.Random(1)).run(send(signal.SIGHUP, False), after)
        assert case.status in (-signal.SIGHUP, 128 + signal.SIGHUP, 0)
        assert case.status <= 0 or case.errors == "vmdedup: interrupted\n"


IN_A_TEXT = """
import os, signal, sys
from vmdedup.signals import ended_by_signals, interrupted_status
def work():
    try:
        exec("os.kill(os.getpid(), {number}); import time; time.sleep(60)")
    except KeyboardInterrupt:
        return interrupted_status()
sys.exit(ended_by_signals(work))
"""
IN_A_CALLBACK = """
import os, sys, time
from vmdedup.signals import ended_by_signals
class Callback:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0)
def work():
    one = Callback()
    del one
    time.sleep(60)
    return 0
sys.exit(ended_by_signals(work))
"""


@pytest.mark.parametrize("program", [IN_A_TEXT, IN_A_CALLBACK])
@pytest.mark.parametrize("number", ENDING)
def test_python_neither_dies_of_a_signal_nor_loses_it(program: str, number: int) -> None:
    done = subprocess.run([sys.executable, "-c", program.format(number=int(number))], capture_output=True, timeout=50)
    assert (done.returncode, done.stderr) == (128 + number, b"")


LEAVING = {
    "processes are left": "subprocess.Popen(['sleep', '1000'])",
    "TMPDIR has": "open(os.path.join(os.environ['TMPDIR'], 'x'), 'w')",
    "stderr has a traceback": "raise KeyError",
    "beside outputs is": "open('.vmdedup-x', 'w')",
    "out.json is not whole": "open('out.json', 'w').write('{')",
    "results cannot be read": "os.mkdir('out'); open('out/run.json', 'w').write('{}')",
}


@pytest.mark.parametrize("fault", LEAVING)
def test_the_drill_finds_what_is_left(here: Place, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.drill_case.GRACE", 0.5)
    program = here.folder / "vmdedup.py"
    program.write_text(f"import os, subprocess\n{LEAVING[fault]}\n")
    monkeypatch.setenv("PYTHONPATH", os.fspath(here.folder))
    case = Case(COMMANDS["run"], here, random.Random(1)).run()
    assert len(case.faults) == 1
    assert fault in case.faults[0].what
