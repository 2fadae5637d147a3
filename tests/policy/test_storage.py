"""Objects of any size packed into frames: room, holes, what is dropped by others, taking over, a full host."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vmdedup.errors import InvariantError
from vmdedup.host.frames import get_frame
from vmdedup.host.layout import COMPRESSED, FRAME_MASK, FRAME_SHIFT
from vmdedup.host.memory import Host
from vmdedup.host.share import write_protect
from vmdedup.host.space import Memory
from vmdedup.policy.difference_engine.take import USED_SINCE_BACK, keep_away, take_page
from vmdedup.policy.room import Rooms, StoreFrame
from vmdedup.policy.storage import Storage, storage_figures, stored_entries

PAGES = 64


class Shelf:
    """A guest whose pages are put into storage as so many bytes; they are only discarded, never rebuilt."""

    def __init__(self, frames: int | None = None) -> None:
        self.host = Host.create(PAGES, frames=frames, mms=3)
        self.guest: Memory = self.host.add(PAGES)
        self.storage = Storage(self.host)
        self.first = int(self.host.arrays.mms[self.guest.mm]["first"])

    def touch(self, page: int) -> None:
        """Give a page content, as if long ago."""
        self.guest.write_pages(np.array([page]), np.full((1, 4096), page + 1, np.uint8))
        self.host.arrays.pte[self.first + page] &= ~(4 | 8)

    def keep(self, page: int, length: int) -> bool:
        """Store a page and keep it as so many bytes."""
        self.touch(page)
        protected = int(take_page(self.host.arrays, self.first + page, USED_SINCE_BACK))
        assert protected
        if not self.storage.put(self.first + page, bytes([page]) * length):
            return False
        assert keep_away(self.host.arrays, self.first + page, protected, COMPRESSED)
        return True

    def bytes_of(self, page: int) -> bytes:
        """What is kept of a page."""
        slot = self.host.arrays.slots[self.first + page]
        start = int(slot["offset"])
        return self.host.arrays.bytes[int(slot["frame"]), start : start + int(slot["length"])].tobytes()

    def check(self) -> None:
        """The host, the storage, and every byte of what is kept."""
        self.host.check()
        self.storage.check()
        for entry in stored_entries(self.host).tolist():
            page = entry - self.first
            assert set(self.bytes_of(page)) == {page}


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.host.close()


def test_objects_share_frames_and_frames_go_with_the_last(shelf: Shelf) -> None:
    for page in range(12):
        assert shelf.keep(page, 1000)
    shelf.check()
    assert shelf.host.frames_in_use() == storage_figures(shelf.host)["storage_frames"] == 3
    shelf.guest.discard(np.arange(11))
    shelf.check()
    assert shelf.host.frames_in_use() == 1
    shelf.guest.discard(np.array([11]))
    shelf.check()
    assert shelf.host.frames_in_use() == 0


def test_holes_are_filled_again(shelf: Shelf) -> None:
    for page in range(12):
        shelf.keep(page, 1300)
    assert shelf.host.frames_in_use() == 4
    shelf.guest.discard(np.array([1, 4, 7, 10]))
    shelf.storage.refresh()
    for page in range(20, 24):
        shelf.keep(page, 1300)
    shelf.check()
    assert shelf.host.frames_in_use() == 4


@pytest.mark.parametrize("seed", range(4))
def test_anything_in_any_order(shelf: Shelf, seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(300):
        page = int(random.integers(PAGES))
        if random.integers(3):
            shelf.keep(page, int(random.integers(1, 4097)))
        else:
            shelf.guest.discard(np.array([page]))
        if not random.integers(20):
            shelf.check()
    shelf.check()
    shelf.guest.exit()
    shelf.check()
    assert shelf.host.frames_in_use() == 0


def test_a_frame_that_has_become_another_s_is_not_written_to(shelf: Shelf) -> None:
    shelf.keep(0, 100)
    frame = int(shelf.host.arrays.slots[shelf.first]["frame"])
    shelf.guest.discard(np.array([0]))
    for page in range(1, 4):  # one of them has the frame now
        shelf.touch(page)
    assert frame in (shelf.guest.entries[1:4] >> FRAME_SHIFT) & FRAME_MASK
    shelf.keep(9, 100)
    shelf.check()
    for page in range(1, 4):
        assert shelf.guest.read(page) == bytes([page + 1]) * 4096


def test_a_cancelled_object_leaves_nothing(shelf: Shelf) -> None:
    shelf.touch(0)
    assert shelf.storage.put(shelf.first, b"x" * 50)
    shelf.storage.cancel(shelf.first)
    shelf.check()
    assert shelf.host.frames_in_use() == 1


def test_a_full_host_refuses_and_existing_frames_still_take_more() -> None:
    shelf = Shelf(frames=4)
    for page in range(3):
        assert shelf.keep(page, 500)
    for page in range(10, 13):
        shelf.touch(page)
    protected = int(take_page(shelf.host.arrays, shelf.first + 10, USED_SINCE_BACK))
    assert shelf.storage.put(shelf.first + 10, b"\n" * 2500)
    assert keep_away(shelf.host.arrays, shelf.first + 10, protected, COMPRESSED)
    shelf.touch(13)
    protected = int(take_page(shelf.host.arrays, shelf.first + 11, USED_SINCE_BACK))
    assert not shelf.storage.put(shelf.first + 11, b"\n" * 2500)
    assert protected
    shelf.host.close()


def test_another_storage_takes_over(shelf: Shelf) -> None:
    for page in range(8):
        shelf.keep(page, 900)
    shelf.host.recover()
    shelf.storage = Storage(shelf.host)
    shelf.check()
    shelf.guest.discard(np.array([2]))
    shelf.storage.refresh()
    shelf.keep(30, 850)
    shelf.check()
    assert shelf.host.frames_in_use() == 2


def test_sparse_frames_are_retired_two_at_least(shelf: Shelf) -> None:
    for page in range(12):
        shelf.keep(page, 1300)
    shelf.guest.discard(np.array([0, 1]))
    assert shelf.storage.retire_sparse(1300) == []
    shelf.guest.discard(np.array([3, 5]))
    assert shelf.storage.retire_sparse(1300) == [shelf.first + 2, shelf.first + 4]
    shelf.keep(20, 1000)
    shelf.check()
    assert shelf.host.frames_in_use() == 5
    shelf.guest.discard(np.array([2, 4]))
    assert shelf.host.frames_in_use() == 3


def test_check_finds_what_has_moved(shelf: Shelf) -> None:
    shelf.keep(0, 100)
    shelf.keep(1, 100)
    shelf.host.arrays.slots[shelf.first + 1]["offset"] = 7
    with pytest.raises(InvariantError, match="is not where its slot says"):
        shelf.storage.check()


def test_room_is_found_in_the_fullest_class() -> None:
    rooms = Rooms(4096)
    frames = [StoreFrame(pfn, 4096) for pfn in (1, 2, 3)]
    for frame, length in zip(frames, (1000, 3000, 4000), strict=True):
        frame.place(length, frame.pfn)
        rooms.note(frame)
    assert rooms.find(96) is frames[2]
    assert rooms.find(97) is frames[1]
    assert rooms.find(1500) is frames[0]
    assert rooms.find(4000) is None
    frames[1].objects[500] = (10, 9)
    with pytest.raises(InvariantError, match="overlap in frame 2"):
        frames[1].check()


def test_a_held_frame_is_not_taken_for_a_page(shelf: Shelf) -> None:
    """A page whose frame somebody holds, or shares, is refused."""
    shelf.touch(0)
    pfn = (int(shelf.guest.entries[0]) >> FRAME_SHIFT) & FRAME_MASK
    assert get_frame(shelf.host.arrays, pfn)
    assert not take_page(shelf.host.arrays, shelf.first, USED_SINCE_BACK)
    assert write_protect(shelf.host.arrays, shelf.first, pfn)
