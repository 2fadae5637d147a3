"""Puts KSM's tunables back when the process that changed them is gone, however it went.

    owner ──stdin: one line of JSON (folder, writes, record), then held open──► guardian
    owner ◄──stdout: "ready"── guardian          end of stdin, or the owner's death: restore, exit

It runs as a script of its own in a session of its own, so that neither a signal to the owner's process
group nor SIGKILL to the owner reaches it, and it keeps the owner's lock until all is restored. The record says on
disk what to restore if this is killed too; it goes when that is done. Standard library only: it is started with
`python -I -S`.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

PATIENCE = 20.0  # seconds for pages of dying processes to go away
Writes = Sequence[Sequence[str]]  # tunables and their values, one after another


def restore(root: str, first: Writes, then: Writes, patience: float = PATIENCE) -> list[str]:
    """Write all of `first`, again and again while one is refused because pages are merged (EBUSY), then all of `then`.

    Returns a description of each write that failed; the others were done all the same.
    """
    deadline = time.monotonic() + patience
    while True:
        failures = [failure for knob, value in first for failure in _attempt(root, knob, value)]
        if not any("EBUSY" in failure for failure in failures) or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return failures + [failure for knob, value in then for failure in _attempt(root, knob, value)]


def _attempt(root: str, knob: str, value: str) -> list[str]:
    try:
        _write(root, knob, value)
    except OSError as error:
        return [f"{knob}={value}: {errno.errorcode.get(error.errno or 0, error.errno)}"]
    return []


def _write(root: str, knob: str, value: str) -> None:
    descriptor = os.open(os.path.join(root, knob), os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _wait_for_end(owner: int) -> None:
    """Return when standard input ends or the process behind the pidfd `owner` is dead."""
    poll = select.poll()
    for descriptor in (0, owner):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if owner in ready or not os.read(0, 4096):
            return


def main() -> int:
    """Guard the tunables named on standard input; the argument is the owner's pidfd. 1: not all restored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    line = os.read(0, 1 << 16)
    if not line:
        return 0
    root, first, then, record = json.loads(line)
    with suppress(BrokenPipeError):  # the owner is dead already: what it left is put back all the same
        os.write(1, b"ready")
    _wait_for_end(int(sys.argv[1]))
    failures = restore(root, first, then)
    if record and not failures:
        os.unlink(record)
    for failure in failures:
        sys.stderr.write(f"vmdedup: KSM tunable not restored: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
