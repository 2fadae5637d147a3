"""What a file is for, judged by its path: which files a boot, a compiler or a file server would read."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class FileKind(IntEnum):
    """The kinds of files that workloads ask a disk for."""

    DATA = 0
    EARLY = 1
    LIBRARY = 2
    PROGRAM = 3
    SERVICE = 4
    SOURCE = 5


# fmt: off
# What is needed before the first service starts.
_EARLY: Final = frozenset(
    (
        "init", "systemd", "udevadm", "mount", "login", "agetty", "dbus-daemon",
        "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "sh", "dash", "bash",
        "busybox", "systemd-journald", "systemd-udevd", "systemd-logind",
    )
)
_PROGRAM_FOLDERS: Final = frozenset(("bin", "sbin", "libexec", "games"))
_SERVICE_ENDINGS: Final = frozenset(("service", "socket", "target", "conf", "rules", "cnf", "ini", "timer"))
_SOURCE_ENDINGS: Final = frozenset(
    (
        "c", "h", "cc", "cpp", "cxx", "hpp", "hh", "rs", "go", "java", "py", "pl", "pm", "rb", "js", "ts",
        "lua", "sh", "s", "S", "m4", "am", "ac", "in", "cmake", "mk",
    )
)
# fmt: on


def kind_of(path: str) -> FileKind:
    """The kind of the file at a path relative to the disk's root."""
    folder, _, name = path.rpartition("/")
    if name in _EARLY and not path.startswith(("share/", "usr/share/")):
        return FileKind.EARLY
    if name.endswith(".so") or ".so." in name:
        return FileKind.LIBRARY
    if folder.rpartition("/")[2] in _PROGRAM_FOLDERS:
        return FileKind.PROGRAM
    ending = name.rpartition(".")[2]
    if ending in _SERVICE_ENDINGS:
        return FileKind.SERVICE
    return FileKind.SOURCE if ending in _SOURCE_ENDINGS else FileKind.DATA
