"""Phones: what apps hold, when they store, who is killed, and what a scanner is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from kit.guest_ram import DISK, Ram, boot, spec
from vmdedup.errors import GuestError
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.phone.content import COMMON_CONTENTS, AppContent
from vmdedup.guest.phone.parameters import PhoneParameters
from vmdedup.guest.phone.workload import Phone
from vmdedup.guest.seeds import keys
from vmdedup.host.layout import ANONYMOUS, BACKGROUND, FILES, FOREGROUND, GRAPHICS, STACK, UNKNOWN
from vmdedup.units import PAGE_SIZE

SHARED = open_disk(DISK)
SMALL: dict[str, Any] = {"app_share": 0.03, "switch_s": 1.0, "launch_mib_s": 200.0, "settle_s": 0.3}


def started(seed: int = 5, mib: int = 24, **parameters: Any) -> tuple[Guest, Ram, Phone]:
    """A phone that has just begun, and its workload."""
    made, ram = boot(spec(mib=mib, workload="phone", parameters=SMALL | parameters, seed=seed), SHARED)
    made.tick(100)
    workload = made._workload
    assert isinstance(workload, Phone)
    return made, ram, workload


def heap_rows(count: int, identical: float, seed: int = 1, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
    """Heap pages of one app, and the zygote's pages."""
    content = AppContent(PhoneParameters(**parameters), HeapMix(), 7, 100)
    made = content.make(content.heap_keys(keys(seed, np.arange(count)), identical))
    return made, content.make(content.zygote_keys())


def test_shares_of_pages_are_as_stated() -> None:
    rows, zygote = heap_rows(4000, 0.15, similar=0.3)
    often = Counter(row.tobytes() for row in rows)
    alike = sum(times for times in often.values() if times > 1)
    assert alike / len(rows) == pytest.approx(0.15, abs=0.02)
    assert len([row for row, times in often.items() if times > 1]) <= COMMON_CONTENTS
    zeros = sum(times for row, times in often.items() if not any(row))
    assert 0 < zeros / len(rows) <= 0.15 * 0.3 + 0.02
    words = zygote.view(np.int64)
    near = [int((words != row.view(np.int64)).sum(axis=1).min()) for row in rows]
    similar = sum(0 < distance <= 6 for distance in near)
    assert similar / len(rows) == pytest.approx(0.3, abs=0.03)


def test_two_apps_have_the_identical_pages_in_common_and_nothing_else() -> None:
    one, two = heap_rows(1500, 0.15)[0], heap_rows(1500, 0.15, seed=2)[0]
    others = {row.tobytes() for row in two}
    assert sum(row.tobytes() in others for row in one) / len(one) == pytest.approx(0.15, abs=0.03)


def test_areas_say_what_pages_are() -> None:
    made, ram, phone = started()
    for _ in range(60):
        made.tick(100)
    covered = np.zeros(ram.pages, np.int64)
    for first, pages, kind, owner, state in ram.areas.values():
        covered[first : first + pages] += owner > 0 or kind == FILES or state == UNKNOWN
        assert (state == UNKNOWN) or owner > 0
    running = [app for app in phone.apps.values() if app.state == FOREGROUND]
    assert len(running) == 1
    assert len([app for app in phone.apps.values() if app.state == BACKGROUND]) == len(phone.apps) - 1 > 0
    app = running[0]
    first = app.place.first
    for row, (kind, size) in enumerate(zip((ANONYMOUS, STACK, GRAPHICS), app.sizes, strict=True)):
        assert ram.areas[app.area + row] == (first, size, kind, app.owner, FOREGROUND)
        assert set(app.parts[row].frames.tolist()) <= set(range(first, first + size))
        first += size
    assert ram.areas[0][2] == ram.areas[2][2] == FILES
    assert covered.max() <= 1 + len(ram.areas)


def test_an_app_in_the_background_stops_storing() -> None:
    made, ram, phone = started(settle_s=0.3)
    while sum(app.state == BACKGROUND for app in phone.apps.values()) < 1:
        made.tick(100)
    left = next(app for app in phone.apps.values() if app.state == BACKGROUND)
    inside = set(range(left.place.first, left.place.first + left.place.pages))
    made.tick(100)
    stored = []
    for _ in range(8):
        ram.log.clear()
        made.tick(100)
        if left.state != BACKGROUND:
            break
        stored.append(sum(page in inside for page, _ in ram.log))
    assert stored[0] > 0
    assert stored[-1] == 0
    assert stored[4:] == [0] * len(stored[4:])


def test_the_oldest_app_is_killed_and_its_place_used_again() -> None:
    made, ram, phone = started()
    seen: dict[int, tuple[float, int]] = {}
    while not phone.kills:
        seen = {name: (app.used_ms, app.place.number) for name, app in phone.apps.items()}
        current = phone._current
        made.tick(100)
    (gone,) = set(seen) - set(phone.apps)
    assert gone == min((name for name in seen if name != current), key=lambda name: seen[name])
    (new,) = set(phone.apps) - set(seen)
    place = phone.apps[new].place
    assert place.number == seen[gone][1]
    beyond = np.arange(place.first + sum(phone.apps[new].sizes), place.first + place.pages)
    assert not ram.bytes[beyond].any()
    made.verify()


def test_an_app_that_comes_back_reads_its_heap() -> None:
    made, ram, phone = started(installed=3, resume_share=0.5)
    while not phone.resumes:
        ram.touched[:] = False
        made.tick(100)
    app = phone.apps[phone._current]
    assert ram.touched[app.heap.frames].mean() == pytest.approx(0.5, abs=0.05)


def test_what_was_stored_is_verified() -> None:
    made, ram, phone = started()
    assert made.verify() > len(phone.zygote)
    whole = phone.apps[phone._current].heap
    ram.bytes[whole.frames[np.flatnonzero(whole.whole)[-1]], PAGE_SIZE - 1] ^= 1
    with pytest.raises(GuestError, match="does not hold what the guest stored"):
        made.verify()


def test_the_same_seed_does_the_same_and_another_something_else() -> None:
    stores = []
    for seed in (5, 5, 6):
        made, ram, _ = started(seed)
        for _ in range(25):
            made.tick(100)
        stores.append(ram.stores())
    assert stores[0] == stores[1] != stores[2]
