"""The one program inside a guest: it does system calls that are asked for from outside, and nothing else.

The guest and this process share a piece of memory, the *window*, which every process in the guest maps at WINDOW. The
first process, and each process of a script, runs this loop:

    read a byte n from descriptor 0; do the list of calls at WINDOW + n * SLOT; write a byte to descriptor 1

A call is eight 64-bit words: its number, six arguments, and room for what it returns. Numbers below zero are no
system calls: the end of the list, a copy of memory, loads of one byte a page, and a fork whose child goes on elsewhere.
So all that is to be done, and all that is to be understood, is on this side, in Python; and a process of a script has
hardly any memory besides its own mapping, which matters where all of a process's memory is mergeable.

The program is kept as its machine code, so that nothing needs to be compiled; tests/vmkernel has the assembler's word
for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

WINDOW = 0x2000_0000_0000
SLOT = 1 << 16
END, COPY, LOAD, FORK = -1, -2, -3, -4
CALL = struct.Struct("<8q")

_CODE_AT, _LIST_AT = 0x40_0078, 0x40_1000  # behind the ELF headers; on the file's second page

# x86-64: what the assembler (GNU, Intel syntax) is given, and what it makes of it.
LISTING: tuple[tuple[str, str], ...] = (
    ("49bc0000000000200000", "mov r12, 0x200000000000"),
    ("bb00104000", "mov ebx, 0x401000"),
    ("488b03", "run: mov rax, [rbx]"),
    ("4885c0", "test rax, rax"),
    ("7824", "js other"),
    ("488b7b08", "mov rdi, [rbx+8]"),
    ("488b7310", "mov rsi, [rbx+16]"),
    ("488b5318", "mov rdx, [rbx+24]"),
    ("4c8b5320", "mov r10, [rbx+32]"),
    ("4c8b4328", "mov r8, [rbx+40]"),
    ("4c8b4b30", "mov r9, [rbx+48]"),
    ("0f05", "syscall"),
    ("48894338", "done: mov [rbx+56], rax"),
    ("4883c340", "next: add rbx, 64"),
    ("ebd4", "jmp run"),
    ("48ffc0", "other: inc rax"),
    ("7452", "jz end"),
    ("48ffc0", "inc rax"),
    ("7425", "jz copy"),
    ("48ffc0", "inc rax"),
    ("7430", "jz load"),
    ("488b7b10", "mov rdi, [rbx+16]"),
    ("31f6", "xor esi, esi"),
    ("31d2", "xor edx, edx"),
    ("4531d2", "xor r10d, r10d"),
    ("4531c0", "xor r8d, r8d"),
    ("b838000000", "mov eax, 56"),
    ("0f05", "syscall"),
    ("4885c0", "test rax, rax"),
    ("75cd", "jnz done"),
    ("488b5b08", "mov rbx, [rbx+8]"),
    ("eba5", "jmp run"),
    ("488b7b08", "copy: mov rdi, [rbx+8]"),
    ("488b7310", "mov rsi, [rbx+16]"),
    ("488b4b18", "mov rcx, [rbx+24]"),
    ("f3a4", "rep movsb"),
    ("ebbb", "jmp next"),
    ("488b7308", "load: mov rsi, [rbx+8]"),
    ("488b4b10", "mov rcx, [rbx+16]"),
    ("8a06", "page: mov al, [rsi]"),
    ("4881c600100000", "add rsi, 4096"),
    ("48ffc9", "dec rcx"),
    ("75f2", "jnz page"),
    ("eba3", "jmp next"),
    ("b801000000", "end: mov eax, 1"),
    ("bf01000000", "mov edi, 1"),
    ("4c89e6", "mov rsi, r12"),
    ("ba01000000", "mov edx, 1"),
    ("0f05", "syscall"),
    ("31c0", "xor eax, eax"),
    ("31ff", "xor edi, edi"),
    ("0f05", "syscall"),
    ("48ffc8", "dec rax"),
    ("7511", "jnz stop"),
    ("410fb61c24", "movzx ebx, byte ptr [r12]"),
    ("48c1e310", "shl rbx, 16"),
    ("4c01e3", "add rbx, r12"),
    ("e94dffffff", "jmp run"),
    ("b8e7000000", "stop: mov eax, 231"),
    ("31ff", "xor edi, edi"),
    ("0f05", "syscall"),
)


def program(calls: bytes) -> bytes:
    """An ELF program that does these calls (made by calls()) and then serves; what they point at follows the list.

    Source: System V ABI, ELF-64 object file format: one loadable segment, readable, writable, executable.
    """
    code = b"".join(bytes.fromhex(machine) for machine, _ in LISTING)
    size = _LIST_AT - 0x40_0000 + len(calls)
    header = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _CODE_AT, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 7, 0, 0x40_0000, 0x40_0000, size, size, 0x1000)
    return (header + code).ljust(_LIST_AT - 0x40_0000, b"\0") + calls


def calls(wanted: Iterable[tuple[int, ...]]) -> bytes:
    """A list of calls: each a number and up to six arguments, from -2^63 to 2^64 - 1; its end is added."""
    return b"".join(CALL.pack(*map(_signed, call), *[0] * (8 - len(call))) for call in (*wanted, (END,)))


def listed(wanted: list[tuple[int, ...]], texts: Iterable[bytes] = ()) -> bytes:
    """A program's own list: of calls whose argument -1000 - n stands for the address of text n."""
    places, behind = {}, b""
    start = _LIST_AT + (len(wanted) + 1) * CALL.size
    for number, text in enumerate(texts):
        places[-1000 - number] = start + len(behind)
        behind += text + b"\0"
    return calls([tuple(places.get(word, word) for word in call) for call in wanted]) + behind


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word
