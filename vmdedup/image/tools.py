"""Programs of other packages: found, run, and what went wrong said in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.ours import child

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


def require_tools(programs: Iterable[str]) -> None:
    """See that programs are there. EnvironmentLacksError names the Debian packages that are missing."""
    missing = sorted({PACKAGES[program] for program in programs if child.find(program) is None})
    if missing:
        packages = " ".join(missing)
        raise EnvironmentLacksError(f"to build images, Debian packages are missing; run: apt-get install {packages}")


def run_tool(
    command: Sequence[str | Path],
    cwd: Path | None = None,
    stdin: bytes | None = None,
    variables: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end; return what it wrote to stdout. It does not outlive this process, however that ends.

    EnvironmentLacksError carries its last complaint; OSError (ENOSPC) if that is a full disk.
    """
    done = child.run(
        ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
        cwd=cwd,
        # Messages of all programs as on any other machine.
        variables={"LC_ALL": "C.UTF-8", **(variables or {})},
        input=stdin or b"",
        capture_output=True,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        if os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        program = next((word for word in command if word in PACKAGES and word != "unshare"), command[0])
        raise EnvironmentLacksError(f"{program} failed with exit status {done.returncode}: {_complaint(said)}")
    said_out: bytes = done.stdout
    return said_out


def _complaint(said: str) -> str:
    """The line that says most: the last that is an error, or the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:") or "error" in line.lower() or "cannot" in line.lower()]
    return (errors or lines or ["it said nothing"])[-1]
