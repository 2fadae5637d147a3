"""A mount namespace, with processes of its own: what a program in it finds under /sys and /proc is its own affair.

unshare (util-linux) ── its own users, unless we are root; mounts; processes, with a /proc of them ──► stage
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from vmdedup.errors import EnvironmentLacksError
from vmdedup.ours import child

MS_BIND: Final = 4096
_REMEDY: Final = (
    "run it as root, in a container with more rights, or use `vmdedup mount SCENARIO DIR` and point the program at DIR "
    "(--path.sysfs=DIR/sys and the like)"
)


def unshare(*command: str) -> list[str]:
    """The command that runs one in namespaces of its own, in which it is root. It ends with who started it."""
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *users, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *command]


def need_namespaces() -> None:
    """EnvironmentLacksError: this user, here, cannot have any."""
    try:
        done = child.run(unshare("true"), capture_output=True, text=True)
    except FileNotFoundError:
        raise EnvironmentLacksError("there is no unshare here; install util-linux") from None
    if done.returncode:
        why = " ".join(done.stderr.split()).removeprefix("unshare: ")
        raise EnvironmentLacksError(f"no namespace of our own is to be had here ({why}); {_REMEDY}")


def bind(source: Path, target: Path) -> None:
    """Have a file, or a folder, seen at another place, in this namespace. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
