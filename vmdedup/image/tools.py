"""Programs of other packages: found, run, and what went wrong said in one line."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError

# Program to the Debian package that has it.
PACKAGES = {
    "apt-get": "apt",
    "cpio": "cpio",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "lz4": "lz4",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "modprobe": "kmod",
    "setpriv": "util-linux",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
# Programs for administrators are not on everybody's path.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def require_tools(programs: Iterable[str]) -> None:
    """See that programs are there. EnvironmentLacksError names the Debian packages that are missing."""
    missing = sorted({PACKAGES[program] for program in programs if shutil.which(program, path=_PATH) is None})
    if missing:
        packages = " ".join(missing)
        raise EnvironmentLacksError(f"to build images, Debian packages are missing; run: apt-get install {packages}")


def run_tool(
    command: Sequence[str | Path],
    cwd: Path | None = None,
    stdin: bytes | None = None,
    variables: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end; return what it wrote to stdout. EnvironmentLacksError carries its last complaint.

    It does not outlive this process, however that ends.
    """
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
        cwd=cwd,
        # Messages of all programs as on any other machine.
        env={**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8", **(variables or {})},
        input=stdin or b"",
        capture_output=True,
    )
    if done.returncode:
        raise EnvironmentLacksError(_complaint(str(command[0]), done.returncode, done.stderr.decode(errors="replace")))
    return done.stdout


def _complaint(program: str, status: int, text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    full = [line for line in lines if os.strerror(errno.ENOSPC) in line]
    errors = [line for line in lines if line.startswith(("E:", "error", "W: ")) or "error" in line.lower()]
    said = (full or errors or lines or ["it said nothing"])[-1]
    if full:
        return f"the disk is full ({program}: {said}); free some room and build again"
    return f"{program} failed with exit status {status}: {said}"
