"""Small emulated hosts shown to other programs, by `vmdedup exec` and `mount` in processes of their own.

One guest at a time can be run with kernels as plain Python, which starts at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

HOST_KSM = Path("/sys/kernel/mm/ksm")
ONE = """\
name = "shown"
duration = "40s"
[host]
huge_pages = "never"
sample_interval = "200ms"
[ksm]
run = 1
pages_to_scan = 1000
[[guests]]
count = 1
memory = "4MiB"
workload = "idle"
disk = { kind = "generated", mib = 16 }
"""
PYTHON = {"NUMBA_DISABLE_JIT": "1"}
ANSWERING = os.access("/dev/fuse", os.R_OK | os.W_OK)
needs_answers = pytest.mark.skipif(not ANSWERING, reason="files that answer need /dev/fuse")
# What the kernel counts by itself; a host whose ksmd runs for others changes them.
COUNTERS = {"pages_scanned", "full_scans", "pages_skipped", "general_profit"}


def can_unshare() -> bool:
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *users, "--mount", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_namespaces = pytest.mark.skipif(not can_unshare(), reason="this user can have no namespaces here")


def write(folder: Path, text: str = ONE) -> Path:
    path = folder / "shown.toml"
    path.write_text(text)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "vmdedup", *map(str, arguments)]


def call(
    *arguments: object, variables: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """A command of ours, to its end."""
    environment = {**os.environ, **PYTHON, **(variables or {})}
    return subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=timeout)


@contextmanager
def mounted(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`vmdedup mount` while it shows its host; ended by SIGTERM, unless it has ended."""
    process = subprocess.Popen(
        command("mount", *arguments, "--json"),
        env={**os.environ, **PYTHON},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        if not process.stdout.readline():
            pytest.fail(process.stderr.read())
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def host_tunables() -> dict[str, str]:
    """The files of this machine's own KSM that only somebody's writing changes."""
    return {path.name: path.read_text() for path in HOST_KSM.glob("*") if os.stat(path).st_mode & 0o200}
