"""Asking for memory early changes nothing, wherever it lies; and kernels can do it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vmdedup.jit.kernel import kernel
from vmdedup.jit.prefetch import prefetch, prefetch_word


@kernel
def ask(array: Any, pages: Any) -> int:
    """Ask for every element of both. Returns their sum."""
    total = 0
    for index in range(len(array)):
        prefetch(array, index)
        total += array[index]
    for row in range(pages.shape[0]):
        for word in range(pages.shape[1]):
            prefetch_word(pages, row, word)
            total += pages[row, word]
    return total


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_nothing_is_changed(kind: type[np.signedinteger[Any]]) -> None:
    array, pages = np.arange(1000, dtype=kind), np.arange(24, dtype=kind).reshape(3, 8)
    assert ask(array, pages) == 999 * 500 + 23 * 12
    assert (array == np.arange(1000)).all()
    assert (pages.ravel() == np.arange(24)).all()
