"""ksmd, watched: its kernels as plain Python, a page at a time."""

from __future__ import annotations

from collections.abc import Callable

from vmdedup.explained.calls import WATCHED, Calls
from vmdedup.explained.event import Event
from vmdedup.explained.names import Names
from vmdedup.host.memory import Host
from vmdedup.jit.plain import Plain
from vmdedup.ksm import scan
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.profile import DEFAULT, Profile

Told = Callable[[int, list[Event]], None]


class WatchedKsmd(Ksmd):
    """ksmd as always, but slow. told: called after each page, with its entry (0: the scan is over) and the events."""

    def __init__(self, host: Host, profile: Profile = DEFAULT) -> None:
        super().__init__(host, profile)
        self.names = Names(host, self.arrays)
        self.calls = Calls(self.names)
        self.told: Told = lambda entry, events: None
        self._entry = 0
        plain = Plain(self, (*WATCHED, scan.cmp_and_merge_page))
        self._scan_some = plain.function(scan.ksm_do_scan)

    def called(self, name: str, arguments: tuple[int, ...]) -> None:
        """See jit.plain.Observer."""
        if name == "cmp_and_merge_page":
            self._entry = int(arguments[2])
        else:
            self.calls.called(name, arguments)

    def returned(self, name: str, arguments: tuple[int, ...], result: int) -> None:
        """See jit.plain.Observer."""
        self.calls.returned(name, arguments, result)

    def _do_scan(self, pages: int) -> int:
        """So many pages, each by itself: decisions are those of a batch, which is a loop over pages, too."""
        for done in range(pages):
            self._entry = 0
            scanned = int(self._scan_some(self._h, self.arrays, 1))
            self.told(self._entry, self.calls.take())
            if not scanned:
                return done
        return pages
