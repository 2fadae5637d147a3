"""From a domain's name to the process that is its QEMU: for scan, record, the doctor and our own guests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vmdedup.dump import domain
from vmdedup.dump.domain import domain_of, process_of
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["qemu", "-name", "guest=web,debug-threads=on", "-m", "64"], "web"),
        (["qemu", "-name", "web"], "web"),
        (["qemu", "-name", "guest=a,,b,debug-threads=on"], "a,b"),
        (["qemu", "-m", "64"], ""),
        (["qemu", "-name"], ""),
        ([], ""),
    ],
)
def test_the_name_on_a_command_line(arguments: list[str], name: str) -> None:
    assert domain_of(arguments) == name


def test_a_process_is_found_by_the_whole_name(named: Callable[[str], int]) -> None:
    pid = named("guest=vmdedup-t-ab,debug-threads=on")
    assert process_of("vmdedup-t-ab") == pid
    assert process_of("vmdedup-t-a") is None
    assert process_of("guest=vmdedup-t-ab") is None


def test_of_two_that_say_so_libvirt_s_note_decides(
    named: Callable[[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of anybody's could say that it is a guest; and a note may be older than its process."""
    pids = sorted(named("guest=vmdedup-t-two") for _ in range(2))
    monkeypatch.setattr(domain, "_NOTES", (f"{tmp_path}/no/{{name}}", f"{tmp_path}/{{name}}.pid"))
    assert process_of("vmdedup-t-two") == pids[0]
    for note, found in ((pids[1], pids[1]), (pids[0], pids[0]), (os.getpid(), pids[0])):
        (tmp_path / "vmdedup-t-two.pid").write_text(f"{note}\n")
        assert process_of("vmdedup-t-two") == found


def test_a_domain_s_memory_is_its_process_s(named: Callable[[str], int]) -> None:
    pid = named("guest=vmdedup-t-memory,x=y")
    largest, every = open_dump("domain:vmdedup-t-memory"), open_dump("domain:vmdedup-t-memory:all")
    try:
        assert largest.name == "domain:vmdedup-t-memory"
        assert len(largest.regions) == 1 < len(every.regions)
        assert {dump.pid for dump in (largest, every)} == {pid}  # type: ignore[attr-defined]
    finally:
        largest.close()
        every.close()


def test_a_domain_that_does_not_run() -> None:
    with pytest.raises(DumpError, match="domain:vmdedup-t-none: no such guest is running on this machine; see virsh"):
        open_dump("domain:vmdedup-t-none")


def test_a_file_of_that_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("domain:web").write_bytes(bytes(4096))
    dump = open_dump("domain:web")
    assert dump.format == "raw"
    dump.close()
