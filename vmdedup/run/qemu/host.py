"""QEMU's guests on this machine, as a run that is measured has them: seen from outside, while they run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vmdedup.live.ksm.free import FreeKsmd
from vmdedup.live.memory.guest import visible_pages
from vmdedup.live.memory.hashing import PageHasher
from vmdedup.live.memory.look import Look, Sight, look
from vmdedup.live.provision.plan import GuestPlan
from vmdedup.run.measure.accounting import Mappings
from vmdedup.run.measure.host import Figures, Resident
from vmdedup.run.measure.outside import figures_of, mappings_of
from vmdedup.units import MIB, PAGE_SIZE


class QemuHost:
    """Fills run.measure.host.Host. note: told what happens, a line each. state: of all guests that are there."""

    def __init__(
        self, guests: Sequence[GuestPlan], pids: Mapping[str, int], ksmd: FreeKsmd, note: Callable[[str], None]
    ) -> None:
        """pids: QEMU's process of each guest that KSM may merge, by name, in the order of starts."""
        self.ksmd = ksmd
        self.state = "running"
        self._guests, self._note = guests, note
        self._numbers = {name: number for number, name in enumerate(pids, start=1)}
        self._views = {self._numbers[name]: partial(visible_pages, pid) for name, pid in pids.items()}
        self._hasher = PageHasher()
        self._lost: set[str] = set()
        self._seen = self._look()
        self._zeros_before = {number: sight.other_zeros for number, sight in self._seen.sights.items()}

    def about(self) -> Mapping[str, Any]:
        """What run.json says of it."""
        return {"backend": "qemu"}

    @property
    def is_over(self) -> bool:
        """Whether every guest that KSM may merge has ended."""
        return len(self._lost) == len(self._numbers)

    @property
    def present(self) -> int:
        """As figures() has found last."""
        return len(self._seen.sights)

    def figures(self) -> Figures:
        """Counted from page maps and contents."""
        self._seen = seen = self._look()
        split = sum(self._split_zeros(number, sight) for number, sight in seen.sights.items())
        free_zeros = bool(self.ksmd.get("use_zero_pages"))
        mappings = mappings_of(seen, len(self._numbers))
        return figures_of(seen, mappings, free_zeros, self.ksmd.breaks(), {"split_zero_pages": split})

    def most_used(self) -> tuple[int, int] | None:
        """Nobody counts what a real machine uses for these guests between two samples."""
        return None

    def mappings(self) -> Mappings:
        """Counted from page maps and contents."""
        self._seen = self._look()
        return mappings_of(self._seen, len(self._numbers))

    def residents(self) -> Sequence[Resident]:
        """All guests, as mappings() has found them last."""
        return [self._resident(guest) for guest in self._guests]

    def _resident(self, guest: GuestPlan) -> Resident:
        number = self._numbers.get(guest.name, 0)
        sight = self._seen.sights.get(number)
        return Resident(
            name=guest.name,
            group=guest.group,
            number=number,
            state=self._state_of(guest.name),
            memory_pages=guest.memory_mib * MIB // PAGE_SIZE,
            is_present=sight is not None,
            stat=sight.stat if sight is not None else None,
            further={
                "split_zero_pages": self._split_zeros(number, sight) if sight is not None else 0,
                "firmware_pages": sight.pages.firmware if sight is not None else 0,
                "huge_pages": sight.huge if sight is not None else 0,
            },
        )

    def _state_of(self, name: str) -> str:
        if name not in self._numbers:
            return "not shared"
        return "failed" if name in self._lost else self.state

    def _look(self) -> Look:
        seen = look(self._views, self._hasher)
        for name, number in self._numbers.items():
            if number not in seen.sights and name not in self._lost:
                self._lost.add(name)
                self._note(f"{name} has ended; the run goes on without it")
        return seen

    def _split_zeros(self, number: int, sight: Sight) -> int:
        """Pages of a guest that have come to map the zero page, uncounted: ksmd split huge pages that held them."""
        return max(0, sight.other_zeros - self._zeros_before.get(number, 0))

    def close(self) -> None:
        """Let go of what counting holds."""
        self._hasher.close()
