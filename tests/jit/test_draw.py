"""Words drawn one by one are those that are drawn many at a time, and what others publish of this generator."""

from __future__ import annotations

import numpy as np
import pytest

from vmdedup.guest.seeds import keys
from vmdedup.jit.draw import word

# What implementations of SplitMix64 give for the seed 0, the first word first.
KNOWN = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC)


def test_known_words() -> None:
    assert tuple(int(word(np.uint64(0), number)) for number in range(1, 5)) == KNOWN


@pytest.mark.parametrize("seed", [1, 77, (1 << 64) - 1])
def test_as_many_at_a_time(seed: int) -> None:
    one_by_one = [int(word(np.uint64(seed), number)) for number in range(50)]
    assert one_by_one == keys(seed, np.arange(50)).tolist()
