"""One running guest: its domain, its QEMU process, what it says on its console."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmdedup.dump.domain import process_of
from vmdedup.errors import GuestError
from vmdedup.live.guardian.program import has_ended
from vmdedup.live.guests import binding
from vmdedup.live.guests.connection import Connection
from vmdedup.live.guests.domain import DomainSpec, to_xml
from vmdedup.live.guests.marks import read_mark

_AUTODESTROY = 2  # VIR_DOMAIN_START_AUTODESTROY: the daemon ends the guest when our connection ends
_POLL = 0.05  # seconds between two looks at a console
_LAST_LINES = 3
DUMP_FORMATS = {"elf": 0, "kdump-zlib": 1, "kdump-lzo": 2, "kdump-snappy": 3}
_MEMORY_ONLY = 16  # VIR_DUMP_MEMORY_ONLY


class Guest:
    """A guest of ours, from its start until stop(). pid: of its QEMU process; pidfd: that process held fast."""

    def __init__(self, connection: Connection, spec: DomainSpec) -> None:
        """Start it. GuestError: the name is taken, or QEMU does not start, with its reason."""
        self.spec = spec
        self.name = spec.domain_name
        _require_free(connection, self.name)
        with binding.translated(f"{self.name} does not start"):
            self.domain: Any = connection.raw.createXML(to_xml(spec), _AUTODESTROY)
        self.pid = qemu_pid(self.name)
        self.pidfd = os.pidfd_open(self.pid)

    def wait_ready(self, line: str, left: float, limit: float, watch: Callable[[], None] = lambda: None) -> None:
        """Wait until the console shows a line, `left` more seconds at most, which was `limit` at first.

        watch: called between looks; may raise. GuestError: too late, or the guest has ended, with the last lines
        of its console.
        """
        began = time.monotonic()
        while line not in (text := self.console()):
            watch()
            if has_ended(self.pidfd, _POLL):
                raise GuestError(f"{self.name} has ended before it was up; its console: {last_lines(text)}")
            if time.monotonic() - began > left:
                raise GuestError(
                    f"{self.name} is not up after {limit:g} s; give it more time or memory; "
                    f"its console: {last_lines(text)}"
                )

    def console(self) -> str:
        """All that it has written to its serial port."""
        try:
            return self.spec.console.read_text(errors="replace")
        except OSError:
            return ""

    def pause(self) -> None:
        """Stop its processors."""
        with binding.translated(f"{self.name} cannot be paused"):
            self.domain.suspend()

    def resume(self) -> None:
        """Let its processors run on."""
        with binding.translated(f"{self.name} cannot be resumed"):
            self.domain.resume()

    def is_paused(self) -> bool:
        """Whether its processors stand."""
        with binding.translated(f"{self.name} does not say how it is"):
            return int(self.domain.state()[0]) == 3  # VIR_DOMAIN_PAUSED

    def dump(self, path: Path, dump_format: str) -> None:
        """Have QEMU write its memory: one of DUMP_FORMATS. GuestError: this QEMU cannot, or the disk is full."""
        with binding.translated(f"{self.name} cannot be dumped as {dump_format}"):
            self.domain.coreDumpWithFormat(str(path), DUMP_FORMATS[dump_format], _MEMORY_ONLY)

    def save(self, path: Path) -> None:
        """Write its state to a file, which ends it (virsh save)."""
        with binding.translated(f"{self.name} cannot be saved"):
            self.domain.save(str(path))

    def has_ended(self) -> bool:
        """Whether its QEMU process is gone."""
        return has_ended(self.pidfd, 0)

    def stop(self) -> None:
        """End it, through libvirt, or without when libvirt is gone. GuestError: it lives on; names the remedy."""
        try:
            self.domain.destroy()
        except binding.load().libvirtError:
            if not self.has_ended():
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        ended = has_ended(self.pidfd, 10.0)
        os.close(self.pidfd)
        if not ended:
            raise GuestError(f"{self.name} (process {self.pid}) lives on; {removal(self.name)}")


def removal(name: str) -> str:
    """What removes a domain of ours."""
    return f"remove it with `vmdedup live remove {name}`"


def qemu_pid(name: str) -> int:
    """The QEMU process of a domain of ours. GuestError: there is none, it has ended at once."""
    pid = process_of(name)
    if pid is None:
        raise GuestError(f"{name} ended as soon as it was started; see /var/log/libvirt/qemu/{name}.log")
    return pid


def _require_free(connection: Connection, name: str) -> None:
    if (there := connection.find(name)) is None:
        return
    mark = read_mark(there)
    if mark is None:
        raise GuestError(f"domain {name} exists and is not ours; choose another name, or undefine it with virsh")
    raise GuestError(f"domain {name} exists already (run {mark.run}); {removal(name)}")


def last_lines(text: str) -> str:
    """The last lines of a console in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LAST_LINES:]) or "nothing"
