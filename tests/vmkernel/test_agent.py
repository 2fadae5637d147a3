"""The program inside guests: its machine code is what the assembler makes of its listing, and it is an ELF program."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from vmdedup.vmkernel import agent


@pytest.mark.skipif(not (shutil.which("as") and shutil.which("objcopy")), reason="needs binutils: as, objcopy")
def test_the_machine_code_is_the_listing(tmp_path: Path) -> None:
    source, made, code = tmp_path / "agent.s", tmp_path / "agent.o", tmp_path / "agent.bin"
    source.write_text(".intel_syntax noprefix\n" + "".join(f"{text}\n" for _, text in agent.LISTING))
    subprocess.run(["as", "--64", "-o", made, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", made, code], check=True)
    assert code.read_bytes() == b"".join(bytes.fromhex(machine) for machine, _ in agent.LISTING)


def test_the_listing_knows_the_window_and_the_list() -> None:
    texts = [text for _, text in agent.LISTING]
    assert texts[0] == f"mov r12, {agent.WINDOW:#x}"
    program = agent.program(agent.calls([(39,)]))
    entry, headers, start = struct.unpack_from("<QQ", program, 24) + struct.unpack_from("<Q", program, 64 + 16)
    assert program[:4] == b"\x7fELF"
    assert (headers, start) == (64, 0x40_0000)
    assert program[entry - start :].startswith(bytes.fromhex(agent.LISTING[0][0]))
    (place,) = struct.unpack_from("<I", bytes.fromhex(agent.LISTING[1][0]), 1)
    assert program[place - start :] == agent.CALL.pack(39, *[0] * 7) + agent.CALL.pack(agent.END, *[0] * 7)


def test_large_arguments_are_taken_as_their_bits() -> None:
    assert agent.calls([(1, 2**64 - 1)])[8:16] == b"\xff" * 8


def test_texts_stand_behind_the_list() -> None:
    listed = agent.listed([(2, -1001), (3, -1000)], [b"first", b"second"])
    behind = 3 * agent.CALL.size
    addresses = [agent.CALL.unpack_from(listed, n * agent.CALL.size)[1] - 0x40_1000 for n in (0, 1)]
    assert addresses == [behind + len(b"first") + 1, behind]
    assert listed[behind:] == b"first\0second\0"
