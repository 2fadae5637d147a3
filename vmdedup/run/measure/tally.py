"""The tables of guests and of pairs at the end of a run."""

from __future__ import annotations

from vmdedup.errors import WorkerDiedError
from vmdedup.guest.vm import GuestProcess
from vmdedup.ksm.sysfs import PROCESS_COUNTERS
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.accounting import Mappings, Shares
from vmdedup.run.measure.row import Row


def guest_rows(emulation: Emulation, mappings: Mappings) -> list[Row]:
    """A row a guest (result.columns.GUESTS), in the order of the scenario, started or not."""
    shares = mappings.shares()
    return [_guest_row(emulation, shares, number) for number in range(len(emulation.plan.specs))]


def _guest_row(emulation: Emulation, shares: Shares, number: int) -> Row:
    spec = emulation.plan.specs[number]
    guest = emulation.guests.get(number)
    return {
        "guest": spec.name,
        "group": emulation.plan.groups[number],
        "mm": guest.mm if guest is not None else 0,
        "state": guest.state if guest is not None else "not started",
        "memory_pages": spec.memory_pages,
        **_pages(shares, guest),
        **_ksm_stat(emulation, guest),
    }


def _pages(shares: Shares, guest: GuestProcess | None) -> Row:
    if guest is None or not is_present(guest):
        names = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")
        return dict.fromkeys((f"{name}_pages" for name in names), 0.0)
    allocated, used = float(shares.allocated[guest.mm]), float(shares.used[guest.mm])
    return {
        "allocated_pages": allocated,
        "used_pages": used,
        "saved_pages": allocated - used,
        "zero_pages": float(shares.zero[guest.mm]),
        "within_guest_pages": float(shares.within[guest.mm]),
        "between_guests_pages": float(shares.between[guest.mm]),
    }


def _ksm_stat(emulation: Emulation, guest: GuestProcess | None) -> Row:
    if guest is None or not is_present(guest):
        return dict.fromkeys(PROCESS_COUNTERS, 0)
    try:
        found = emulation.ksmd.ksm_stat(guest.mm)
    except WorkerDiedError:  # it has ended the run, and cannot be asked any more
        return dict.fromkeys(PROCESS_COUNTERS, None)
    return {name: found[name] for name in PROCESS_COUNTERS}


def is_present(guest: GuestProcess) -> bool:
    """Whether the guest has its memory still."""
    return guest.state not in ("left", "dead")


def matrix_rows(emulation: Emulation, mappings: Mappings) -> list[Row]:
    """A row for each pair that shares something (result.columns.MATRIX), in the order of the guests."""
    names = [(guest.mm, guest.spec.name) for _, guest in sorted(emulation.guests.items())]
    shared, zero = mappings.matrix(zero=False), mappings.matrix(zero=True)
    return [
        {"guest_a": one, "guest_b": two, "shared_frames": int(shared[a, b]), "zero_frames": int(zero[a, b])}
        for i, (a, one) in enumerate(names)
        for b, two in names[i:]
        if shared[a, b] or zero[a, b]
    ]
