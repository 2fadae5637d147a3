"""Seeds beside each other, each in a process of its own: the same figures, and errors of one line."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from vmdedup.cli import run_command
from vmdedup.cli.experiment import TURN
from vmdedup.errors import WorkerDiedError
from vmdedup.ours import child
from vmdedup.papers.bench.beside import Beside
from vmdedup.papers.table import EXPERIMENTS

# In place of an experiment: what it was asked for. It ends when it is told, or its parent ends.
STAND_IN = """
import json, sys
name, seed, *flags = sys.argv[1:]
if name == "ksm-windows" and seed == "2" and "fails" in sys.modules["__main__"].__doc__:
    sys.exit("no such page\\nit is gone")
if "waits" in sys.modules["__main__"].__doc__:
    sys.stdin.buffer.read()
    sys.exit(3)
row = {"figure": name, "unit": "", "paper": [5.0, 0.5], "ours": float(seed), "claim": " ".join(flags), "holds": None}
rows = [row | {"own": False, "put_in": False}]
print(json.dumps({"rows": rows, "note": seed, "axes": ["", ""], "log": "", "curves": []}))
"""


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    script = f'"""{getattr(request, "param", "")}"""\n{STAND_IN}'
    start = child.start

    def start_other(command: list[str], **how: Any) -> Any:
        return start([command[0], "-c", script, *command[command.index(TURN) + 1 :]], **how)

    monkeypatch.setattr(child, "start", start_other)


@pytest.mark.usefixtures("stood_in")
def test_documents_come_in_order_with_all_their_seeds() -> None:
    told: list[str] = []
    chosen = [EXPERIMENTS[name] for name in ("leak", "ksm-windows", "barker")]
    with Beside(2, TURN, True, told.append) as side:
        found = list(side.documents(chosen, 3))
    assert [each["name"] for each in found] == ["leak", "ksm-windows", "barker"]
    for each in found:
        (row,) = each["rows"]
        assert (row["figure"], row["claim"]) == (each["name"], "quick")
        assert (row["ours"], row["low"], row["high"], row["seeds"], row["within"]) == (2.0, 1.0, 3.0, 3, 1.0)
        assert each["note"] == "1"
    assert all(text.count(", seed ") <= 2 for text in told)
    assert {name for text in told for name in text.split("; ")} == {
        f"{each.name}, seed {seed}" for each in chosen for seed in (1, 2, 3)
    }


@pytest.mark.parametrize("stood_in", ["fails"], indirect=True)
@pytest.mark.usefixtures("stood_in")
def test_one_that_fails_says_which_and_why() -> None:
    with Beside(2, TURN, True, print) as side:
        documents = side.documents([EXPERIMENTS["ksm-windows"]], 3)
        with pytest.raises(WorkerDiedError, match="ksm-windows, seed 2: it is gone; run it alone"):
            next(documents)


@pytest.mark.parametrize("stood_in", ["waits"], indirect=True)
@pytest.mark.usefixtures("stood_in")
def test_whoever_ends_it_ends_what_runs() -> None:
    begun = threading.Semaphore(0)
    running: list[Any] = []

    def end() -> None:
        with Beside(2, TURN, True, lambda text: begun.release()) as side:
            for seed in range(9):
                side._pool.submit(side._turn, "leak", seed)
            begun.acquire()
            running.extend(side._running.values())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end()
    assert running
    assert all(process.poll() == 3 for process in running)


@pytest.mark.compiled
def test_the_same_figures_as_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for jobs in ("1", "2"):
        words = ["experiment", "run", "ksm-windows", "--quick", "--seeds", "2", "--json", "--jobs", jobs]
        assert run_command(words) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
