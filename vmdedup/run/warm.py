"""Everything is compiled, or loaded from the cache, before a run's clock starts."""

from __future__ import annotations

from vmdedup.guest.crew import PRELOAD as GUEST_PRELOAD
from vmdedup.host.memory import Host
from vmdedup.host.workers import fork_server, start_server
from vmdedup.run.backend.counting import ContentCounter, host_mappings, saved_pages
from vmdedup.scanner.process import PRELOAD, warm_scanners


def start_workers(policy: str) -> None:
    """Have the server that forks scanner and guests load and compile what they need, while this process does the same.

    policy: name of who scans.
    """
    warm_scanners(policy)
    fork_server(PRELOAD, *GUEST_PRELOAD)
    start_server()
    _warm_up()


def _warm_up() -> None:
    """Count a small host once in every way: under a second, or half a minute if nothing is cached."""
    host = Host.create(pages=64, mms=2)
    try:
        host.claim(2, "warm")
        mappings = host_mappings(host)
        mappings.shares()
        saved_pages(host)
        ContentCounter().possible(host, int(mappings.allocated.sum()), 0, zeros_are_free=False)
    finally:
        host.close()
