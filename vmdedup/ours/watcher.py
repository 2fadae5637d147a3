"""Processes that put right what this one leaves, however it ends: one launcher of all of them.

owner ──stdin: what is to be done──► watcher       a session of its own: no signal to the owner's group reaches it
owner ◄──stdout: its answers── watcher             end of stdin, or the owner's death: it does it, and exits
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from vmdedup.ours import child


class Watcher:
    """The owner's end."""

    def __init__(self, script: str, *arguments: str, keep: Sequence[int] = (), bare: bool = True) -> None:
        """Start a script of ours; its arguments are the owner's pidfd, then these. keep: descriptors it shall hold.

        bare: it needs the standard library only.
        """
        owner = os.pidfd_open(os.getpid())
        try:
            self.process = child.start(
                child.python_script(script, str(owner), *arguments, bare=bare),
                pass_fds=(owner, *keep),
                stdin=child.PIPE,
                stdout=child.PIPE,
                start_new_session=True,
                cwd="/",
                bufsize=0,
            )
        finally:
            os.close(owner)

    def tell(self, line: bytes) -> None:
        """Say something. Nothing is done if somebody has killed it; end() tells."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line)

    def hear(self, most: int) -> bytes:
        """What it answers; nothing if it has ended."""
        assert self.process.stdout is not None
        answer: bytes = self.process.stdout.read(most) or b""
        return answer

    def end(self) -> int:
        """Close its standard input, and wait. Returns its exit status, negative if somebody killed it."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return int(self.process.wait())
