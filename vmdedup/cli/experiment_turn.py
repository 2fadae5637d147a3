"""An experiment with one seed, in a process of its own: `python -m vmdedup.cli.experiment_turn NAME SEED [quick]`.

Prints one document. It ends in order, as after SIGTERM, when its standard input ends: whoever started it has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from vmdedup.cli.say import say, say_document
from vmdedup.errors import VmdedupError
from vmdedup.signals import ended_by_signals


def main(arguments: list[str]) -> int:
    """Run it. Returns the exit status: an error of ours is one line on stderr."""
    from vmdedup.papers.bench.base import Bench
    from vmdedup.papers.table import EXPERIMENTS

    name, seed, *flags = arguments
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        say_document(EXPERIMENTS[name].turn(Bench("quick" in flags, seed=int(seed))))
    except VmdedupError as error:
        say(error, err=True)
        return error.exit_status
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock the interpreter wants when it ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(ended_by_signals(lambda: main(sys.argv[1:])))
