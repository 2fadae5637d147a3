"""Order keys say what memcmp says, whatever page they are relative to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmdedup.host.layout import FRAME_SHIFT
from vmdedup.host.memory import Host
from vmdedup.jit import PYTHON_MODE
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.layout import UNSTABLE, KsmArrays, make
from vmdedup.ksm.order import KEY_BITS, KEY_VALID, WINDOW, base_is_bad, compare_keyed, page_key, rebase

SIZES = [8, 16, 64, 4096]


@st.composite
def related_pages(draw: st.DrawFn) -> tuple[int, list[bytes]]:
    """A page size, and pages that agree with the first one for long: up to the end, or all the way."""
    size = draw(st.sampled_from(SIZES))
    fill = draw(st.sampled_from([0, 1, 127, 128, 255]))
    base = np.random.default_rng(fill).bytes(size) if draw(st.booleans()) else bytes([fill]) * size
    place = st.sampled_from([0, 1, 5, 6, 7, size // 2, size - 7, size - 6, size - 2, size - 1]).map(lambda p: p % size)
    pages = [base]
    for _ in range(draw(st.integers(2, 6))):
        page = bytearray(draw(st.sampled_from(pages)))
        for _ in range(draw(st.integers(0, 3))):
            page[draw(place)] = draw(st.sampled_from([0, 1, 127, 128, 254, 255]))
        pages.append(bytes(page))
    return size, pages


def world(size: int, pages: list[bytes], base: bytes) -> tuple[Any, KsmArrays]:
    """A host whose frames from 1 on hold the pages, and ksmd's records with that base."""
    host = Host.create(pages=len(pages), frames=len(pages), mms=1, page_size=size)
    for pfn, page in enumerate(pages, start=1):
        host.arrays.words[pfn] = np.frombuffer(page, np.int64)
    k = make(64, 2, 1, size // 8)
    k.base[0] = np.frombuffer(base, np.int64)
    host.close()  # the arrays keep the memory
    return host.arrays, k


def sign(number: int) -> int:
    """-1, 0 or 1."""
    return (number > 0) - (number < 0)


@settings(max_examples=60 if PYTHON_MODE else 400)
@given(related_pages(), st.data())
def test_keys_compare_as_memcmp_does(drawn: tuple[int, list[bytes]], data: st.DataObject) -> None:
    size, pages = drawn
    h, k = world(size, pages, data.draw(st.sampled_from([*pages, bytes(size), b"\xff" * size])))
    keys = [int(page_key(h, k, pfn)) for pfn in range(1, len(pages) + 1)]
    assert all(0 <= key <= KEY_BITS for key in keys)
    for i, one in enumerate(pages):
        for j, other in enumerate(pages):
            memcmp = (one > other) - (one < other)
            assert sign(int(compare_keyed(h, k, i + 1, keys[i], j + 1, keys[j]))) == memcmp
            if keys[i] != keys[j]:
                assert sign(keys[i] - keys[j]) == memcmp
    assert int(k.st[0]["compares"]) == len(pages) ** 2
    ties = sum(keys[i] == keys[j] and pages[i] != pages[j] for i in range(len(pages)) for j in range(len(pages)))
    assert int(k.st[0]["ties"]) == ties


@pytest.mark.parametrize("size", SIZES)
def test_pages_that_leave_the_base_anywhere_compare_as_memcmp_does(size: int) -> None:
    """A base of all kinds of bytes; pages less and greater at each of its first bytes, and twins that differ late."""
    base = bytes((37 * place + 11) % 254 + 1 for place in range(size))
    pages = [base]
    for place in range(min(size, 16)):
        for step in (-1, 1):
            page = bytearray(base)
            page[place] += step
            twin = bytearray(page)
            twin[-1] ^= 0x55
            pages += [bytes(page), bytes(twin)]
    h, k = world(size, pages, base)
    keys = [int(page_key(h, k, pfn)) for pfn in range(1, len(pages) + 1)]
    for i, one in enumerate(pages):
        for j, other in enumerate(pages):
            memcmp = (one > other) - (one < other)
            assert sign(int(compare_keyed(h, k, i + 1, keys[i], j + 1, keys[j]))) == memcmp, (i, j)


def test_a_base_is_bad_when_most_of_a_window_were_ties() -> None:
    _, k = world(8, [bytes(8)], bytes(8))
    state = k.st[0]
    state["compares"], state["ties"] = WINDOW - 1, WINDOW - 1
    assert not base_is_bad(k)  # the window is not over
    state["compares"], state["ties"] = WINDOW, WINDOW // 2
    assert not base_is_bad(k)
    assert (int(state["compares"]), int(state["ties"])) == (0, 0)
    state["compares"], state["ties"] = WINDOW, WINDOW // 2 + 1
    assert base_is_bad(k)
    assert (int(state["compares"]), int(state["ties"])) == (0, 0)


def scanned() -> Ksmd:
    """A ksmd with merged pages, pages in the unstable tree, and one stored to since then."""
    host = Host.create(pages=40, mms=2)
    ksmd = Ksmd(host)
    for knob in ("run", "smart_scan"):
        ksmd.set(knob, "1" if knob == "run" else "0")
    guest = host.add(20, "guest")
    for page in range(20):
        guest.write(page, bytes(2048) + bytes([page // 2 if page < 10 else page]))
    ksmd.enter(guest.mm)
    for _ in range(2):
        ksmd.full_scan()
    guest.write(12, b"stored to since")
    return ksmd


def test_a_new_base_gives_new_keys_to_all_that_is_known() -> None:
    ksmd = scanned()
    h, k = ksmd.host.arrays, ksmd.arrays
    before = int(k.nodes[1]["key"])
    pfn = int(ksmd.host.memory(1).entries[15]) >> FRAME_SHIFT
    rebase(h, k, pfn)
    assert k.base[0].tobytes() == h.bytes[pfn].tobytes()
    assert int(k.nodes[1]["key"]) != before
    for node in range(1, 6):
        assert int(k.nodes[node]["key"]) == page_key(h, k, int(k.nodes[node]["kpfn"]))
    first = int(h.mms[1]["first"])
    unstable = [page for page in range(20) if k.items[first + page]["flags"] & UNSTABLE]
    assert unstable == list(range(10, 20))
    for page in unstable:
        key, frame = int(k.items[first + page]["key"]), int(h.pte[first + page]) >> FRAME_SHIFT
        assert key == (0 if page == 12 else page_key(h, k, frame) | KEY_VALID)
    assert all(int(k.items[first + page]["key"]) == 0 for page in range(10))
    ksmd.check()
    ksmd.host.close()


@pytest.mark.compiled
def test_pages_that_differ_late_soon_get_a_better_base() -> None:
    """All pages leave the first base (zeros) at the same byte, so half of all comparisons would need the bytes."""
    host = Host.create(pages=2000, mms=2)
    ksmd = Ksmd(host)
    ksmd.set("run", "1")
    guest = host.add(2000, "guest")
    data = np.random.default_rng(3).integers(0, 256, (2000, 4096), np.uint8)
    data[:, :3000] = 7
    guest.write_pages(np.arange(2000), data)
    ksmd.enter(guest.mm)
    for _ in range(3):
        ksmd.full_scan()
    assert ksmd.arrays.base.any()
    before = int(ksmd.arrays.st[0]["compares"]), int(ksmd.arrays.st[0]["ties"])
    ksmd.full_scan()
    assert int(ksmd.arrays.st[0]["ties"]) - before[1] < 100
    assert ksmd.counters()["pages_unshared"] == 2000
    host.close()
