"""Words of a stream of random numbers, one by one: those that guest.seeds draws many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from vmdedup.jit.kernel import PYTHON_MODE, kernel
from vmdedup.mixing import MASK, MIX_1, MIX_2, STEP

_U30, _U27, _U31 = np.uint64(30), np.uint64(27), np.uint64(31)
_M1, _M2, _STEP = np.uint64(MIX_1), np.uint64(MIX_2), np.uint64(STEP)


@kernel
def _compiled_word(seed: Any, number: Any) -> Any:
    out = seed + np.uint64(number) * _STEP
    out = (out ^ (out >> _U30)) * _M1
    out = (out ^ (out >> _U27)) * _M2
    return out ^ (out >> _U31)


def _python_word(seed: Any, number: Any) -> Any:
    out = (int(seed) + int(number) * STEP) & MASK
    out = ((out ^ (out >> 30)) * MIX_1) & MASK
    out = ((out ^ (out >> 27)) * MIX_2) & MASK
    return np.uint64(out ^ (out >> 31))


# word(seed, number) -> guest.seeds.keys(seed, number), one word.
word: Any = _python_word if PYTHON_MODE else _compiled_word
