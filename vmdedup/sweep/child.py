"""A process that makes one run after another: `python -m vmdedup.sweep.child`, told scenarios on its standard input.

It answers each with what a row has of its run. When its standard input ends, a run that is going on ends in order, as
after SIGTERM, and so does the process: whoever wanted the rows has gone.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from vmdedup.breakdown import in_a_line
from vmdedup.errors import HostError, VmdedupError
from vmdedup.signals import ended_by_signals

if TYPE_CHECKING:
    from vmdedup.scenario.model import Scenario

FAILED = "failed"  # how a run ended that has nothing to show; other words are those of run.json


def figures(scenario: Scenario) -> dict[str, Any]:
    """Make the run. Returns ended, reason and figures (result.sweep); whatever keeps it from them is a reason."""
    from vmdedup.result.sweep import figures_of
    from vmdedup.run.measure.rows import Silent
    from vmdedup.run.run import run_scenario

    try:
        _require_room(scenario)
        return figures_of(run_scenario(scenario, Silent(), _nowhere()))
    except VmdedupError as error:
        return {"ended": FAILED, "reason": str(error)}
    except Exception as error:
        return {"ended": FAILED, "reason": f"this is a mistake of vmdedup's: {in_a_line(error)}; report it"}


def _require_room(scenario: Scenario) -> None:
    """HostError: this machine would make the host smaller than others would, and its figures other ones."""
    from vmdedup.run.room import host_room

    room = host_room(scenario)
    if room.is_capped:
        raise HostError(str(room.note))


def _nowhere() -> Any:
    """A log handler for what nobody reads: how a run ended stands in its row."""
    import logging

    return logging.NullHandler()


def main() -> int:
    """Answer until there is nothing more to answer. Returns the exit status."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed here does not get among them
    wanted: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, wanted), daemon=True).start()
    while (scenario := wanted.get()) is not None:
        found = figures(scenario)
        if found["ended"] == "interrupted":  # by whoever wanted it
            return 1
        os.write(answers, pickle.dumps(found))  # a pipe takes all of it before this returns
    return 0


def _listen(questions: IO[bytes], wanted: SimpleQueue[Any]) -> None:
    try:
        while True:
            wanted.put(pickle.load(questions))
    except (EOFError, OSError, pickle.UnpicklingError):
        wanted.put(None)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    # What a terminal sends to all its processes is for the command, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(ended_by_signals(main))
