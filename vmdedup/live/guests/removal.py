"""Listing and removing domains of ours, those left behind by a run that was killed included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.live.guests import binding
from vmdedup.live.guests.connection import Connection
from vmdedup.live.guests.marks import Mark, read_mark

_STATES = ("no state", "running", "blocked", "paused", "shutting down", "shut off", "crashed", "suspended")
_REMAINS = 1 | 2  # VIR_DOMAIN_UNDEFINE_MANAGED_SAVE, _SNAPSHOTS_METADATA; our domains have no NVRAM


@dataclass(frozen=True, slots=True)
class Ours:
    """A domain of ours as it is now."""

    name: str
    state: str
    memory_mib: int
    mark: Mark
    domain: Any


def list_ours(connection: Connection) -> list[Ours]:
    """Every domain with our prefix and our metadata, by name."""
    return sorted(_ours(connection), key=lambda ours: ours.name)


def _ours(connection: Connection) -> Iterator[Ours]:
    for domain in connection.domains():
        if (mark := read_mark(domain)) is None:
            continue
        with binding.translated("listing the domains"):
            state, memory = domain.info()[:2]
            yield Ours(domain.name(), _STATES[state], memory // 1024, mark, domain)


def remove(connection: Connection, names: Iterable[str]) -> list[str]:
    """End and undefine domains of ours by name. UsageError: there is none, or it is not ours. Returns the names."""
    found = {ours.name: ours for ours in list_ours(connection)}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in found:
            there = connection.find(name) is not None
            reason = "is not one of vmdedup's; virsh can remove it" if there else "does not exist"
            raise UsageError(f"domain {name} {reason}; `vmdedup live list` shows what can be removed")
    for name in wanted:
        remove_domain(found[name].domain)
    return wanted


def remove_domain(domain: Any) -> None:
    """End and undefine one domain; one that is transient is gone when it has ended."""
    with binding.translated("removing a domain"):
        persistent = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        if persistent:
            domain.undefineFlags(_REMAINS)
