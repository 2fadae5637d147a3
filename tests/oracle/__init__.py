"""Linux's KSM in plain Python, as slow and as obvious as it can be: the reference for the fast engine.

Pages are bytes, frames and tree nodes are objects, a checksum is taken whenever one is wanted, and every
counter is counted when it is asked for.

    objects    frames, address spaces, rmap items, stable nodes, chains, and the state of ksmd
    rbtree     red-black trees with the kernel's shapes
    faults     what processes do: stores, loads, fork, exit, madvise
    nodes      where frames are, and move_pages(2)
    scan       which page comes next; rmap (its item), process (what is done with it)
    stable, unstable, merge    the two trees and the ways to merge
    knobs, counters            the files of /sys/kernel/mm/ksm
    machine    the face that scripts are played on
    snapshot   the whole state as plain values, to be compared with another engine's
"""

from oracle.machine import OracleMachine
from oracle.snapshot import ItemState, item_states, stable_shape, unstable_shape

__all__ = ["ItemState", "OracleMachine", "item_states", "stable_shape", "unstable_shape"]
