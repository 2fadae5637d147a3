"""Dumps that others wrote: real QEMU's of one and the same guest, and files of other libraries' writers."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dump_contents import contents, contents_of
from dump_writers_samples import PAGES
from test_dump_formats import page_of

from vmdedup.dump.open import open_dump

QEMU = "qemu-system-x86_64"
MIB = 64
VGA_WINDOW = range(0xA0, 0xC0)  # what stands at these pages is the video device, not RAM
ELSEWHERE = 1 << 40


class Qemu:
    """A QEMU with nothing but its firmware, and its monitor."""

    def __init__(self, folder: Path) -> None:
        path = folder / "qmp"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            machine = ["-accel", "tcg", "-m", str(MIB), "-machine", "pc,mem-merge=off", "-display", "none"]
            monitor = ["-nodefaults", "-vga", "std", "-serial", f"file:{folder / 'serial'}", "-qmp", f"unix:{path}"]
            self.process = subprocess.Popen([QEMU, *machine, *monitor], stdin=subprocess.DEVNULL)
            listener.settimeout(30)
            self.socket, _ = listener.accept()
        self.socket.settimeout(60)
        self.lines = self.socket.makefile("rw")
        self.lines.readline()
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A command's answer."""
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise AssertionError(answer)
            if "return" in answer:
                found = answer["return"]
                return found if isinstance(found, dict) else {}

    def wait_for_firmware(self) -> None:
        """Until the firmware has looked for something to boot: what it has written then stands in memory."""
        for _ in range(200):
            self.do("stop")
            self.do("pmemsave", val=0, size=4096, filename=str(self.scratch))
            self.do("cont")
            if self.scratch.read_bytes()[:1] != b"\0":
                return

    scratch = Path()


@contextmanager
def qemu(folder: Path) -> Iterator[Qemu]:
    """A QEMU that is gone afterwards."""
    machine = Qemu(folder)
    try:
        yield machine
    finally:
        machine.process.kill()
        machine.process.wait()
        machine.lines.close()
        machine.socket.close()


@pytest.mark.qemu
@pytest.mark.slow
def test_one_guest_of_qemu_in_four_formats(tmp_path: Path) -> None:
    """Raw, ELF, kdump-zlib and migration stream have one and the same pages of RAM."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"needs {QEMU}; install qemu-system-x86")
    with qemu(tmp_path) as machine:
        machine.scratch = tmp_path / "scratch"
        machine.wait_for_firmware()
        machine.do("stop")
        machine.do("pmemsave", val=0, size=MIB << 20, filename=str(tmp_path / "raw"))
        for form in ("elf", "kdump-zlib"):
            machine.do("dump-guest-memory", paging=False, protocol=f"file:{tmp_path / form}", format=form)
        machine.do("migrate", uri=f"exec:cat>{tmp_path / 'stream'}")
        while machine.do("query-migrate").get("status") != "completed":
            assert machine.process.poll() is None
    found = {}
    for form, kind in (("raw", "raw"), ("elf", "elf"), ("kdump-zlib", "kdump"), ("stream", "qemu")):
        with open_dump(tmp_path / form) as dump:
            assert dump.format == kind
            found[form] = contents(dump)
    ram = [number for number in range(MIB * 256) if number not in VGA_WINDOW]
    pages = {form: [memory[number] for number in ram] for form, memory in found.items()}
    assert len(set(pages["raw"])) > 50
    assert pages["raw"] == pages["elf"] == pages["kdump-zlib"] == pages["stream"]
    # Firmware and video memory have other numbers in the stream, but the same contents.
    assert found["elf"] == found["kdump-zlib"]
    rest = Counter(page for number, page in found["elf"].items() if number >= MIB * 256)
    assert rest <= Counter(page for number, page in found["stream"].items() if number >= ELSEWHERE)


def test_a_core_that_kdumpling_writes(tmp_path: Path) -> None:
    """A writer of vmcores by other people."""
    kdumpling = pytest.importorskip("kdumpling", reason="install kdumpling, which is in the extra `test`")
    pages = [page_of(number % 10) for number in range(300)]
    builder = kdumpling.KdumpBuilder()
    builder.add_memory_segment(0x100000, b"".join(pages))
    builder.add_memory_segment(0x40000000, PAGES[2])
    builder.write(str(tmp_path / "vmcore"))
    expected = {256 + number: page for number, page in enumerate(pages)}
    assert contents_of(tmp_path / "vmcore") == {**expected, 0x40000: PAGES[2]}
