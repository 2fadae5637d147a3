"""The guests of one run: started one after another, waited for, paused and ended together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmdedup.errors import GuestError
from vmdedup.image.store import Image
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guests.connection import Connection
from vmdedup.live.guests.domain import DomainSpec
from vmdedup.live.guests.guest import Guest
from vmdedup.live.guests.marks import PREFIX, mark_of_this_process
from vmdedup.live.guests.overlay import make_overlay


@dataclass(frozen=True, slots=True)
class Order:
    """A guest to be started. name: its own. domain: with our prefix. words: more for its kernel's command line.

    line: what its console shows when it has done what it is waited for; nothing: the line of its image.
    """

    name: str
    domain: str
    image: Image
    memory_mib: int
    accel: str = "tcg"
    sharing: bool = True
    port: int | None = None
    words: tuple[str, ...] = ()
    line: str = ""


class Fleet:
    """Guests in the order of their starts, which is that of ksmd's list. stop() ends them all."""

    def __init__(self, connection: Connection, guardian: Guardian, run: str) -> None:
        """guardian: ends guests and removes their folder if this process cannot. run: the word in their metadata."""
        self.guests: dict[str, Guest] = {}
        self.folder = guardian.folder("vmdedup-live-")
        self._ready_lines: dict[str, str] = {}
        self._connection, self._guardian, self._run = connection, guardian, run

    def start(self, order: Order) -> Guest:
        """Start one guest; its memory is on ksmd's list when this returns. GuestError, EnvironmentLacksError."""
        image = order.image
        overlay = self._overlay(order, image.disk) if image.disk is not None else None
        spec = DomainSpec(
            name=order.domain.removeprefix(PREFIX),
            mark=mark_of_this_process(self._run, image.name),
            memory_mib=order.memory_mib,
            kernel=image.kernel,
            initrd=image.initrd,
            cmdline=image.command_line(order.name, *order.words),
            console=self._file(order, "console"),
            accel=order.accel,
            sharing=order.sharing,
            disk=overlay,
            ssh_port=order.port,
        )
        guest = Guest(self._connection, spec)
        self.guests[order.name] = guest
        self._guardian.end(guest.pid)
        self._ready_lines[order.name] = order.line or f"{image.ready} {order.name}"
        return guest

    def wait_ready(self, limit: float, watch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Wait until all are up, `limit` seconds at most. Returns how many it took, by name. GuestError: one is not."""
        began = time.monotonic()
        took = {}
        for name, guest in self.guests.items():
            left = max(0.0, limit - (time.monotonic() - began))
            guest.wait_ready(self._ready_lines[name], left, limit, watch)
            took[name] = round(time.monotonic() - began, 3)
        return took

    @property
    def pids(self) -> dict[str, int]:
        """QEMU's process of each guest whose memory KSM may merge, by name, in the order of ksmd's list."""
        return {name: guest.pid for name, guest in self.guests.items() if guest.spec.sharing}

    def pause(self) -> None:
        """Stop all processors of all guests."""
        for guest in self.guests.values():
            guest.pause()

    def stop(self) -> None:
        """End every guest. GuestError: names those that live on, with the command that removes them."""
        failures = []
        while self.guests:
            _, guest = self.guests.popitem()
            try:
                guest.stop()
            except GuestError as error:
                failures.append(str(error))
            else:
                self._guardian.spare(guest.pid)
        if failures:
            raise GuestError("; ".join(failures))

    def _overlay(self, order: Order, base: Path) -> Path:
        return make_overlay(base, self._file(order, "qcow2"), self._connection.qemu_owner())

    def _file(self, order: Order, kind: str) -> Path:
        return self.folder / f"{order.domain}.{kind}"
