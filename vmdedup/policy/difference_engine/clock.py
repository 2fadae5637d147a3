"""The clock: which pages were not used since the last scan, or for several. Kernels only.

Each scan reads R and M of a page's entry (ACCESSED, DIRTY) and clears them. Two bits of age in the entry lengthen the
memory: the fourth scan in a row that finds a page idle makes it C4. With the one that saw it used, these are the five
passes of a sharing cycle. Source: Gupta et al., Difference Engine, OSDI 2008, section 4.2.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import kind_of
from vmdedup.host.layout import ACCESSED, AGE_SHIFT, DIRTY, PIN, PRESENT, SOFT
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.policy.difference_engine.records import C1, C2, C3, C4

OLDEST = 3
CHANGED = 8  # besides the state: the page was stored to since SOFT was last cleared, which it is now


@kernel
def state_now(h: Any, entry: int) -> int:
    """A page's state since the last scan, C1 to C4, and CHANGED; its R, M and SOFT are cleared. 0: nothing is there.

    A page in another form was not used since it was put there. One that is being used this moment is left as it is.
    """
    while True:
        old = load(h.pte, entry)
        if not old & PRESENT:
            return C4 if kind_of(old) != 0 else 0
        if old & PIN:
            return C1 | CHANGED
        age = (old >> AGE_SHIFT) & OLDEST
        if old & DIRTY:
            state, age = C1, 0
        elif old & ACCESSED:
            state, age = C2, 0
        elif age == OLDEST:
            state = C4
        else:
            state, age = C3, age + 1
        new = (old & ~(ACCESSED | DIRTY | SOFT | (OLDEST << AGE_SHIFT))) | (age << AGE_SHIFT)
        if new == old or cas(h.pte, entry, old, new):
            return state | CHANGED if old & SOFT else state
