"""Where the doctor reads: files below a root, programs, Python modules; tests give it a machine of their own."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vmdedup.live.guests.accel import Probe, probe
from vmdedup.live.ksm.uncounted import zero_mappings
from vmdedup.ours import child

KVM_GET_API_VERSION: Final = 0xAE00  # <linux/kvm.h>: _IO(KVMIO, 0x00)
SYSTEM_FOLDERS: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def has_module(name: str) -> bool:
    """Whether Python finds a module; packages above it are imported, it is not."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def run_program(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """A program's exit status and what it printed; status -1: it could not be run, or took too long."""
    try:
        done = child.run(command, capture_output=True, text=True, timeout=seconds, check=False, stdin=child.DEVNULL)
    except child.TimeoutExpired:
        return -1, f"no answer within {seconds:g} s"
    except OSError as error:
        return -1, str(error.strerror)
    return done.returncode, (done.stdout + done.stderr).strip()


def kvm_api_version(device: Path) -> int:
    """The version that /dev/kvm tells. OSError: it cannot be opened, or is no KVM."""
    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(descriptor, KVM_GET_API_VERSION)
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """Bytes that we may still write where a folder is, or will be."""
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    answer = os.statvfs(there)
    return answer.f_bavail * answer.f_frsize


@dataclass(frozen=True)
class Machine:
    """The machine that is looked at. root: where /proc, /sys, /dev, /run, /etc and /usr are."""

    root: Path = Path("/")
    euid: int = field(default_factory=os.geteuid)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    has_module: Callable[[str], bool] = has_module
    run: Callable[[Sequence[str], float], tuple[int, str]] = run_program
    kvm_version: Callable[[Path], int] = kvm_api_version
    free_bytes: Callable[[Path], int] = free_bytes
    boot: Callable[[], Probe] = probe
    zero_mappings: Callable[[int, Sequence[tuple[int, int]]], int | None] = zero_mappings

    @property
    def is_root(self) -> bool:
        """Whether we may do everything."""
        return self.euid == 0

    def as_root(self, command: str) -> str:
        """A command for the administrator, as whoever we are has to give it."""
        if self.is_root:
            return command
        return f"sudo sh -c '{command}'" if ";" in command else f"sudo {command}"

    def path(self, absolute: str) -> Path:
        """A path of that machine."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str) -> str | None:
        """A file's text, or None if it cannot be read."""
        try:
            return self.path(absolute).read_text(errors="replace")
        except OSError:
            return None

    def program(self, name: str) -> Path | None:
        """Where a program is: in PATH, where administrators' programs are, or beside our Python."""
        folders = [*self.environment.get("PATH", "").split(":"), *SYSTEM_FOLDERS]
        if self.root == Path("/"):
            folders.append(str(Path(sys.executable).parent))
        paths = (self.path(folder) / name for folder in folders if os.path.isabs(folder))
        return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)

    def fields(self, absolute: str) -> dict[str, int]:
        """The numbers of a file of lines `Name: number …`; empty if it cannot be read."""
        lines = (line.split() for line in (self.text(absolute) or "").splitlines())
        return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
