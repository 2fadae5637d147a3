"""A connection to libvirt's daemon, or one clear line why there is none."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError, UsageError, VmdedupError
from vmdedup.live.guests import binding

SYSTEM = "qemu:///system"
_DRIVERS = ("qemu", "test")  # the second is libvirt's own, for trying things out
_REFUSED = ("Permission denied", "authentication", "Operation not permitted", "access denied")
_ABSENT = ("No such file", "Connection refused")


class Connection(Closing):
    """An open connection; a context manager. raw: libvirt's own virConnect."""

    def __init__(self, uri: str = SYSTEM) -> None:
        """EnvironmentLacksError: no library, no daemon, no permission. UsageError: a URI that means nothing."""
        libvirt = binding.load()
        if urlsplit(uri).scheme.partition("+")[0] not in _DRIVERS:  # libvirt would ask a daemon first
            raise UsageError(f"{uri}: names no driver of {', '.join(_DRIVERS)}; give a URI of libvirt such as {SYSTEM}")
        self.uri = uri
        try:
            self.raw: Any = libvirt.open(uri)
        except libvirt.libvirtError as error:
            raise _refusal(uri, error) from None

    def is_alive(self) -> bool:
        """Whether the daemon still answers."""
        try:
            return bool(self.raw.isAlive()) and bool(self.raw.getLibVersion())
        except binding.load().libvirtError:
            return False

    def domains(self) -> list[Any]:
        """All domains, ours and others', as libvirt's own virDomain. Raises as binding.translated."""
        with binding.translated("listing the domains"):
            return list(self.raw.listAllDomains(0))

    def find(self, name: str) -> Any | None:
        """The domain of that name, or None."""
        with binding.translated(f"looking for domain {name}"):
            try:
                return self.raw.lookupByName(name)
            except binding.load().libvirtError as error:
                if error.get_error_code() == binding.NO_DOMAIN:
                    return None
                raise

    def qemu_owner(self) -> tuple[int, int] | None:
        """User and group that the daemon runs QEMU as; None: as itself. Raises as binding.translated."""
        with binding.translated("asking whom QEMU runs as"):
            text = str(self.raw.getCapabilities())
        return owner_in(text)

    def close(self) -> None:
        """Let go; domains that were started to go with the connection are ended by the daemon."""
        try:
            self.raw.close()
        except binding.load().libvirtError:
            pass  # the daemon has gone, and the connection with it


def owner_in(capabilities: str) -> tuple[int, int] | None:
    """User and group of libvirt's capabilities, where the label of its model `dac` is +USER:+GROUP."""
    for model in ET.fromstring(capabilities).iterfind("./host/secmodel[model='dac']/baselabel"):
        user, _, group = (model.text or "").replace("+", "").partition(":")
        if user.isdecimal() and group.isdecimal():
            return int(user), int(group)
    return None


def _refusal(uri: str, error: Any) -> VmdedupError:
    """Why a connection cannot be had, and the remedy."""
    message = binding.one_line(error)
    if any(words in message for words in _REFUSED):
        return EnvironmentLacksError(
            f"no permission for {uri} ({message}); run as root, or as a member of group libvirt"
        )
    if any(words in message for words in _ABSENT):
        return EnvironmentLacksError(f"libvirtd is not running ({message}); start it: {binding.start_command()}")
    return UsageError(f"{uri}: {message}; give a URI of libvirt such as {SYSTEM}")
