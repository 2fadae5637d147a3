"""The tables of guests and of pairs at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.ksm.sysfs import PROCESS_COUNTERS
from vmdedup.run.measure.accounting import Mappings, Shares
from vmdedup.run.measure.host import Resident
from vmdedup.run.measure.rows import Row

_SIZES = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")


def guest_rows(residents: Sequence[Resident], mappings: Mappings) -> list[Row]:
    """A row a guest (result.columns.GUESTS)."""
    shares = mappings.shares()
    return [_guest_row(resident, shares) for resident in residents]


def _guest_row(resident: Resident, shares: Shares) -> Row:
    stat = resident.stat if resident.is_present else dict.fromkeys(PROCESS_COUNTERS, 0)
    return {
        "guest": resident.name,
        "group": resident.group,
        "mm": resident.number,
        "state": resident.state,
        "memory_pages": resident.memory_pages,
        **dict(zip((f"{size}_pages" for size in _SIZES), _sizes(resident, shares), strict=True)),
        **{name: stat[name] if stat is not None else None for name in PROCESS_COUNTERS},
        **resident.further,
    }


def _sizes(resident: Resident, shares: Shares) -> tuple[float, ...]:
    """Pages, in the order of _SIZES."""
    if not resident.is_present:
        return (0.0,) * len(_SIZES)
    allocated, used = float(shares.allocated[resident.number]), float(shares.used[resident.number])
    parts = (float(part[resident.number]) for part in (shares.zero, shares.within, shares.between))
    return allocated, used, allocated - used, *parts


def matrix_rows(residents: Sequence[Resident], mappings: Mappings) -> list[Row]:
    """A row for each pair that shares something (result.columns.MATRIX), in the order of the guests."""
    names = [(resident.number, resident.name) for resident in residents if resident.number]
    shared, zero = mappings.matrix(zero=False), mappings.matrix(zero=True)
    return [
        {"guest_a": one, "guest_b": two, "shared_frames": int(shared[a, b]), "zero_frames": int(zero[a, b])}
        for i, (a, one) in enumerate(names)
        for b, two in names[i:]
        if shared[a, b] or zero[a, b]
    ]
