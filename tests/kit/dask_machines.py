"""A Dask scheduler and two workers, as three hosts: in network namespaces of their own, or all on this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_NET = "10.213.77"


@dataclass
class Machines:
    """hosts: what stands before a command that is to run there: of the scheduler, and of the two workers."""

    folder: Path
    hosts: Sequence[Sequence[str]]
    addresses: Sequence[str]
    stack: ExitStack = field(default_factory=ExitStack)

    def start_scheduler(self) -> str:
        """Its address, once it is there."""
        file = self.folder / "scheduler.json"
        words = ("--port", "0", "--scheduler-file", str(file), "--no-dashboard", "--host", self.addresses[0])
        process = self._start(0, "dask_scheduler", *words)
        while not (file.exists() and file.read_text().endswith("}")):
            assert process.poll() is None, "the scheduler has ended"
            time.sleep(0.02)
        return str(json.loads(file.read_text())["address"])

    def start_worker(self, number: int, address: str) -> subprocess.Popen[bytes]:
        """Worker 1 or 2, of one thread."""
        words = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--no-dashboard")
        return self._start(number, "dask_worker", address, *words, "--host", self.addresses[number])

    def _start(self, host: int, module: str, *words: str) -> subprocess.Popen[bytes]:
        local = str(self.folder / f"{module}-{host}")
        more = ("--local-directory", local) if module == "dask_worker" else ()
        command = [*self.hosts[host], sys.executable, "-m", f"distributed.cli.{module}", *words, *more]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stack.callback(_end, process)
        return process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command on the scheduler's host."""
        return subprocess.run([*self.hosts[0], *command], capture_output=True, text=True, check=False, timeout=300)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextmanager
def machines(folder: Path, apart: bool) -> Iterator[Machines]:
    """Three hosts; nothing of them is left. apart: in namespaces of their own; the test is skipped without."""
    with ExitStack() as stack:
        names = stack.enter_context(_namespaces()) if apart else []
        if apart and not names:
            pytest.skip("needs root, and network namespaces (ip netns)")
        hosts: list[Sequence[str]] = [("ip", "netns", "exec", name) for name in names] or [(), (), ()]
        addresses = [f"{_NET}.{number}" if names else "127.0.0.1" for number in (1, 2, 3)]
        made = Machines(folder, hosts, addresses)
        with made.stack:
            yield made


@contextmanager
def _namespaces() -> Iterator[list[str]]:
    """Three with a wire from the first, a bridge, to each of the others; none where they are not to be had."""
    mark = uuid.uuid4().hex[:6]
    names = [f"vmd-{mark}-{number}" for number in range(3)]
    if os.geteuid() or not shutil.which("ip"):
        yield []
        return
    try:
        able = all(_ip("netns", "add", name) for name in names) and _wired(names)
        yield names if able else []
    finally:
        for name in names:
            _ip("netns", "del", name)


def _wired(names: Sequence[str]) -> bool:
    first = names[0]
    steps: list[tuple[str, ...]] = [("-n", first, "link", "add", "br0", "type", "bridge")]
    for number, name in enumerate(names[1:], 1):
        steps += [
            ("-n", first, "link", "add", f"h{number}", "type", "veth", "peer", "name", "eth0", "netns", name),
            ("-n", first, "link", "set", f"h{number}", "master", "br0", "up"),
            ("-n", name, "addr", "add", f"{_NET}.{number + 1}/24", "dev", "eth0"),
            ("-n", name, "link", "set", "eth0", "up"),
        ]
    steps += [("-n", first, "addr", "add", f"{_NET}.1/24", "dev", "br0"), ("-n", first, "link", "set", "br0", "up")]
    steps += [("-n", name, "link", "set", "lo", "up") for name in names]
    return all(_ip(*step) for step in steps)


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
