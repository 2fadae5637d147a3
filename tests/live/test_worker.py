"""The process whose memory a KSM script works on: how it ends."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys

import pytest

from vmdedup.live.workers import worker


@pytest.mark.parametrize("fork", [False, True])
def test_who_has_nobody_to_answer_to_ends_silently(fork: bool) -> None:
    """The owner was killed while it waited: neither the nursery nor a fork that was just made has anything to say."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    window, watch = os.memfd_create("window"), os.pidfd_open(os.getpid())
    os.ftruncate(window, mmap.PAGESIZE)
    passed = (theirs.fileno(), watch, window)
    command = [sys.executable, "-I", "-S", worker.__file__, *map(str, passed), str(mmap.PAGESIZE)]
    one.close()
    if fork:
        socket.send_fds(ours, [worker.REQUEST.pack(worker.VM, 1, 0, 0)], [other.fileno()])
    else:
        ours.send(worker.REQUEST.pack(worker.STORE, 0, 0, 1 << 40))
    other.close()
    with subprocess.Popen(command, pass_fds=passed, stderr=subprocess.PIPE) as process:
        theirs.close()
        ours.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""  # until all forks have ended
        assert process.wait(50) == 0
    os.close(window)
    os.close(watch)
