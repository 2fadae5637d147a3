"""Figures of an emulated host, for a page of metrics: asked of the run at its desk, all of one moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from vmdedup.metrics.figures import Figure, PassTimer, ksmd_figures
from vmdedup.run.backend.emulator import Emulator
from vmdedup.run.clock.desk import Desk
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.accounting import Mappings, guest_rows, matrix_rows
from vmdedup.run.measure.rows import Row
from vmdedup.units import PAGE_SIZE, SECOND_NS

KINDS: Final = {"zero": "zero_pages", "within": "within_guest_pages", "between": "between_guests_pages"}
_HUGE: Final = {
    "vmdedup_huge_pages": ("huge_pages", 1),
    "vmdedup_huge_pages_split_total": ("thp_split_page", 1),
    "vmdedup_freed_uncounted_bytes": ("split_zero_pages", PAGE_SIZE),
}


class EmulatedHost:
    """One run's host. has_matrix: tells who shares with whom. has_possible: what could be saved, by hashing all."""

    def __init__(self, desk: Desk, has_matrix: bool = False, has_possible: bool = False) -> None:
        self._desk, self._has_matrix, self._has_possible = desk, has_matrix, has_possible
        self._passes = PassTimer()

    def __call__(self) -> list[Figure]:
        """All figures now."""
        return self._desk.ask(lambda emulation: list(self._figures(emulation)))

    def _figures(self, emulation: Emulation) -> Iterator[Figure]:
        backend = cast(Emulator, emulation.backend)
        host, ksmd, mappings = backend.host, emulation.ksmd, backend.mappings()
        counters = ksmd.counters()
        yield from ksmd_figures({**{name: ksmd.get(name) for name in ksmd.kind.all_tunables()}, **counters})
        now = emulation.now / SECOND_NS
        yield from self._passes.look(now, counters["full_scans"])
        free = host.capacity - host.frames_in_use()
        yield Figure("node_memory_MemTotal_bytes", host.capacity * PAGE_SIZE)
        yield Figure("node_memory_MemFree_bytes", free * PAGE_SIZE)
        yield Figure("node_memory_MemAvailable_bytes", free * PAGE_SIZE)
        yield Figure("vmdedup_ksmd_cpu_seconds_total", ksmd.bill_ns / SECOND_NS)
        yield Figure("vmdedup_emulated_seconds_total", now)
        yield Figure("vmdedup_guests", emulation.present)
        yield Figure("vmdedup_used_bytes", backend.in_use() * PAGE_SIZE)
        yield Figure("vmdedup_cow_breaks_total", backend.breaks())
        further = backend.further()
        for name, (column, unit) in _HUGE.items():
            if column in further:
                yield Figure(name, further[column] * unit)
        yield from self._sizes(emulation, backend, mappings)

    def _sizes(self, emulation: Emulation, backend: Emulator, mappings: Mappings) -> Iterator[Figure]:
        allocated, placed = int(mappings.allocated.sum()), int(mappings.zero_placed.sum())
        zero, within, between = mappings.saved()
        yield Figure("vmdedup_if_all_diverge_bytes", allocated * PAGE_SIZE)
        for kind, pages in (("zero", zero + placed), ("within", within), ("between", between)):
            yield Figure("vmdedup_saved_bytes", pages * PAGE_SIZE, (kind,))
        if self._has_possible:
            zeros_are_free = bool(emulation.ksmd.get("use_zero_pages"))
            possible = backend.possible(allocated, placed, zeros_are_free)
            yield Figure("vmdedup_possible_bytes", possible * PAGE_SIZE)
        residents = [each for each in emulation.residents() if each.is_present]
        for row in guest_rows(residents, mappings):
            yield from _guest(row)
        if self._has_matrix:
            for row in matrix_rows(residents, mappings):
                names = str(row["guest_a"]), str(row["guest_b"])
                yield Figure("vmdedup_shared_pages", row["shared_frames"], names)


def _guest(row: Row) -> Iterator[Figure]:
    """One guest's, from its row of the guests' table."""
    labels = row["guest"], row["group"]
    yield Figure("vmdedup_guest_allocated_bytes", row["allocated_pages"] * PAGE_SIZE, labels)
    yield Figure("vmdedup_guest_used_bytes", row["used_pages"] * PAGE_SIZE, labels)
    for kind, column in KINDS.items():
        yield Figure("vmdedup_guest_saved_bytes", row[column] * PAGE_SIZE, (*labels, kind))
    if row["ksm_process_profit"] is not None:
        yield Figure("vmdedup_guest_profit_bytes", row["ksm_process_profit"], labels)
