"""libvirt-python, loaded on first use, with its errors turned into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from vmdedup.errors import EnvironmentLacksError, GuestError, VmdedupError

# Numbers of libvirt's errors (virErrorNumber) that have a meaning of their own here.
NO_CONNECT, OPERATION_FAILED, NO_DOMAIN, RPC_ERROR = 5, 9, 42, 39
SYSTEM_ERROR, INTERNAL, NO_SUPPORT, AUTH_FAILED, NO_METADATA = 38, 1, 3, 45, 80
_GONE = ("socket is closed", "Connection reset", "Broken pipe", "End of file", "connection is not open")


@cache
def load() -> Any:
    """The module libvirt, which no longer prints errors. EnvironmentLacksError: it is not installed."""
    try:
        import libvirt
    except ImportError:
        raise EnvironmentLacksError(
            "libvirt-python is missing; apt install libvirt-dev pkg-config gcc, then pip install 'vmdedup[libvirt]'"
        ) from None
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def start_command() -> str:
    """What starts libvirt's daemon on this machine."""
    if Path("/run/systemd/system").exists():
        return "systemctl start libvirtd"
    return "virtlogd -d; libvirtd -d"


def restart() -> str:
    """What to do when the daemon has gone."""
    return f"start it again ({start_command()}); `vmdedup live remove --all` then removes what is left"


@contextmanager
def translated(deed: str) -> Iterator[None]:
    """Errors of libvirt inside become GuestError, or EnvironmentLacksError if its daemon is gone. deed: what failed."""
    libvirt = load()
    try:
        yield
    except libvirt.libvirtError as error:
        raise explain(deed, error) from None


def explain(deed: str, error: Any) -> VmdedupError:
    """One of our errors for one of libvirt's."""
    message = one_line(error)
    if is_gone(error):
        return EnvironmentLacksError(f"{deed}: libvirtd has gone ({message}); {restart()}")
    if error.get_error_code() == NO_SUPPORT:
        return EnvironmentLacksError(f"{deed}: {message}; use qemu:///system")
    return GuestError(f"{deed}: {message}")


def is_gone(error: Any) -> bool:
    """Whether an error of libvirt says that its daemon is no longer there."""
    return any(words in one_line(error) for words in _GONE)


def one_line(error: Any) -> str:
    """An error's message without line breaks."""
    return " ".join(str(error.get_error_message() or error).split())
