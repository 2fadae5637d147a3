"""Three real guests, recorded while they boot: the emulator's guests hold the same bytes at every step."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from kit.booted_guest import BootedGuest, image_or_skip
from kit.processes import until
from vmdedup.dump.base import Dump
from vmdedup.guest.diskspec import NO_DISK, open_disk
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.memory import Host
from vmdedup.recording.reader import Recording
from vmdedup.recording.record import record
from vmdedup.recording.sources import ProcessSource

pytestmark = [pytest.mark.qemu, pytest.mark.slow]
GUESTS, STEPS, CHUNK = 3, 11, 1 << 22


class Witness(ProcessSource):
    """A guest's process; besides its snapshot, the digest of all its RAM as /proc/PID/mem has it at that moment.

    Read on its own, without the reader of dumps: what is not there reads as zeros. The guest stands still meanwhile.
    """

    def __init__(self, name: str, pid: int, ram: int) -> None:
        super().__init__(name, f"pid:{pid}", pid, "guest")
        self.ram = ram
        self.seen: list[str] = []
        until(lambda: self._start() > 0)

    def open(self, step: int) -> Dump | None:
        dump = super().open(step)
        total = hashlib.sha256()
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(self._start())
            for _ in range(0, self.ram, CHUNK):
                total.update(memory.read(CHUNK))
        self.seen.append(total.hexdigest())
        return dump

    def _start(self) -> int:
        """Where its RAM is; 0: not there yet."""
        for line in Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if end - start == self.ram:
                return start
        return 0


def test_a_recording_of_three_live_guests_lives_again_byte_by_byte(tmp_path: Path) -> None:
    image, path = image_or_skip("tiny"), tmp_path / "life.rec"
    ram = image.memory_mib << 20
    with ExitStack() as stack:
        witnesses = []
        for number in range(GUESTS):
            folder = tmp_path / str(number)
            folder.mkdir()
            guest = stack.enter_context(BootedGuest(image, folder))
            witnesses.append(Witness(f"guest-{number}", guest.process.pid, ram))
        outcome = record(witnesses, path, 500_000_000, STEPS, pause=True, watch=lambda step, name: None)
    assert (outcome.steps, outcome.ended, outcome.notes) == (STEPS, "complete", [])
    with Recording(path) as recording:
        for step in range(1, STEPS):
            assert any(recording.snapshot(guest, step).changed for guest in range(GUESTS)), "nothing has changed"
        assert recording.snapshot(0, STEPS - 1).present > 1000
        live_again(path, recording, witnesses)


def live_again(path: Path, recording: Recording, witnesses: list[Witness]) -> None:
    pages = witnesses[0].ram // 4096
    host = Host.create(GUESTS * pages)
    guests = []
    try:
        for witness in witnesses:
            spec = GuestSpec(witness.name, pages, image=ImageSpec(str(path), True, witness.name))
            guests.append(GuestProcess(spec, host, host.add(pages, witness.name).mm, open_disk(NO_DISK)))
            guests[-1].start()
        for step, moment in enumerate(recording.steps):
            for number, guest in enumerate(guests):
                guest.tick(moment.time_ns / 1e6 - guest.ready().virtual_ms)
                assert guest.verify() == recording.snapshot(number, step).present
                assert host.memory(guest.mm).digest() == witnesses[number].seen[step], (step, guest.spec.name)
        host.check()
    finally:
        for guest in guests:
            guest.kill()
        host.close()
