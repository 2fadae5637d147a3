"""Dumps that others wrote: real QEMU's of one and the same guest, and files of other libraries' writers."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from kit.dump_contents import contents, contents_of
from kit.dump_writers_samples import PAGES, page_of
from kit.qemu_monitor import QEMU, qemu
from kit.second_readers import NotInstalledError, debians, drgns, kdump_pages
from vmdedup.dump.open import open_dump

MIB = 64
VGA_WINDOW = range(0xA0, 0xC0)  # what stands at these pages is the video device, not RAM
ELSEWHERE = 1 << 40


@pytest.mark.qemu
@pytest.mark.slow
def test_one_guest_of_qemu_in_four_formats(tmp_path: Path) -> None:
    """Raw, ELF, kdump-zlib and migration stream have one and the same pages of RAM; libkdumpfile finds the same."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"needs {QEMU}; install qemu-system-x86")
    with qemu(tmp_path, MIB) as machine:
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
    for name, reader in (("elf", debians), ("elf", drgns), ("kdump-zlib", drgns)):
        with suppress(NotInstalledError):
            assert kdump_pages(reader, tmp_path / name) == found[name]
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
