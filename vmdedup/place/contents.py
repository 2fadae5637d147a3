"""Contents of guests as words of 64 bits: each once, or a sample of them that is the same in all guests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.seeds import mix

Contents = NDArray[np.uint64]


def distinct(words: Contents, times: int) -> Contents:
    """Contents once each, ascending; of so many one, chosen by what it is, so that all guests keep the same ones."""
    found = np.unique(words)
    return found if times == 1 else found[mix(found) % np.uint64(times) == 0]


def sampling_error(contents: int) -> float:
    """Standard deviation of a count of which so many contents are kept, as a share of it."""
    return contents**-0.5 if contents else 1.0
