"""Real memory and emulated memory: the same operations leave the same contents, and the same complaints."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.guest.memory import Memory
from vmdedup.host.memory import Host
from vmdedup.live.mapped.memory import RealMemory

PAGES = 12
Operation = Callable[[Memory], object]
Numbers = NDArray[np.int64]

numbers = st.lists(st.integers(0, PAGES - 1), max_size=6).map(lambda pages: np.array(pages, np.int64))
seeds = st.integers(0, 2**32 - 1)


def content(seed: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Bytes that a seed stands for."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write_pages(pages: Numbers, seed: int) -> Operation:
    return lambda memory: memory.write_pages(pages, content(seed, (len(pages), 4096)))


def write_words(pages: Numbers, seed: int) -> Operation:
    return lambda memory: memory.write_pages(pages, content(seed, (len(pages), 4096)).view(np.uint64))


def write_bytes(pages: Numbers, seed: int, length: int) -> Operation:
    places = np.random.default_rng(seed).integers(0, 4097 - length, len(pages))
    return lambda memory: memory.write_bytes(pages, places, content(seed, (len(pages), length)))


def write(page: int, data: bytes, offset: int) -> Operation:
    return lambda memory: memory.write(page, data, offset)


def unmap(lo: int, length: int) -> Operation:
    return lambda memory: memory.unmap(lo, min(lo + length, PAGES - 1))  # type: ignore[attr-defined]


operations = st.one_of(
    st.builds(write_pages, numbers, seeds),
    st.builds(write_words, numbers, seeds),
    st.builds(write_bytes, numbers, seeds, st.integers(1, 4096)),
    st.builds(write, st.integers(0, PAGES - 1), st.binary(max_size=64), st.integers(0, 4096)),
    st.builds(lambda pages: lambda memory: memory.discard(pages), numbers),
    st.builds(lambda pages: lambda memory: memory.touch(pages), numbers),
    st.builds(lambda pages: lambda memory: memory.read_pages(pages).tobytes(), numbers),
    st.builds(lambda page: lambda memory: memory.read(page), st.integers(-1, PAGES)),
    st.builds(unmap, st.integers(0, PAGES - 1), st.integers(0, 2)),
)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host.create(pages=PAGES * 4, mms=4)
    yield host
    host.close()


def outcome(operation: Operation, memory: Memory) -> object:
    """What it answers, or what it complains of."""
    try:
        return operation(memory)
    except HostError as error:
        return str(error)


@settings(max_examples=200)
@given(steps=st.lists(operations, max_size=20))
def test_the_same_operations_leave_the_same_contents(host: Host, steps: list[Operation]) -> None:
    emulated = host.add(PAGES, "guest")
    real = RealMemory(PAGES, "guest", mergeable=False)
    try:
        assert (real.pages, real.page_size, real.name) == (emulated.pages, emulated.page_size, emulated.name)
        for step in steps:
            assert outcome(step, real) == outcome(step, emulated)
        assert real.digest() == emulated.digest()
    finally:
        real.exit()
        emulated.exit()
        host.release(emulated.mm)


def test_what_was_given_back_is_not_there() -> None:
    memory = RealMemory(4, "guest", mergeable=False)
    memory.write(0, b"x")
    memory.exit()
    with pytest.raises(HostError, match="page 0 of 'guest' is not mapped"):
        memory.read(0)
    assert memory.pages == 4


def test_more_than_there_can_be_is_refused() -> None:
    with pytest.raises(HostError, match=r"no memory for guest 'huge' of .* pages"):
        RealMemory(1 << 40, "huge", mergeable=False)
