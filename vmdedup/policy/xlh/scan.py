"""Looking at pages, those that were hinted and those of the linear scan. Kernels only.

The linear scan is ksmd's own (ksm.scan), but for what a page without partner waits in. A hinted page is looked up in
the stable tree, and then waits at once: it need not have been seen unchanged in two scans.
Source: Miller et al., XLH, USENIX ATC 2013, sections 3 and 4.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import stable_node_of
from vmdedup.host.layout import ZERO
from vmdedup.host.mm import mm_of_entry
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.ahead import look_ahead, look_ahead_at
from vmdedup.ksm.layout import AHEAD
from vmdedup.ksm.mm_list import HEAD, is_alive
from vmdedup.ksm.rmap import get_item
from vmdedup.ksm.scan import (
    NONE,
    begin_full_scan,
    merge_with_tree_page,
    scan_get_next_rmap_item,
    settle_without_unstable,
)
from vmdedup.ksm.unstable import candidate_frame
from vmdedup.policy.xlh.hash_table import table_search_insert
from vmdedup.policy.xlh.layout import (
    FOUND_BY_HINT,
    FOUND_BY_SCAN,
    HASH_TABLE,
    HINT_RUNS,
    HINTED,
    IN_RUN,
    MISSED,
    RUN,
    RUN_LENGTH,
    SCAN_RUNS,
    SERVED,
    VARIANT,
    WAITED,
    WAITED_MS,
)
from vmdedup.policy.xlh.tree import tree_search_insert


@kernel
def scan_in_turns(h: Any, k: Any, x: Any, hints: Any, turns: Any, pages: int) -> int:
    """One batch: runs that serve hints and runs of linear scan, in turns, ending early at the end of the full scan.

    hints: entries in the order in which they are to be served, int64[n]. turns: int64[TURN_WORDS], kept up. A run for
    hints goes on as linear scan when there are no more. Returns pages scanned; hints count, whatever became of them.
    """
    for done in range(pages):
        if k.slots[HEAD]["next"] == HEAD:
            return done
        if turns[RUN] < turns[HINT_RUNS] and turns[SERVED] < len(hints):
            if turns[SERVED] % AHEAD == 0:
                look_ahead_at(h, k, hints, turns[SERVED])
            _look_at_hinted(h, k, x, hints[turns[SERVED]])
            turns[SERVED] += 1
        else:
            entry = scan_get_next_rmap_item(h, k)
            if entry == NONE:
                return done
            if entry % AHEAD == 0:
                look_ahead(h, k, entry)
            _look_at(h, k, x, entry, False)
        k.st[0]["pages_scanned"] += 1
        _count_turn(turns)
    return pages


@kernel
def _count_turn(turns: Any) -> None:
    turns[IN_RUN] += 1
    if turns[IN_RUN] >= turns[RUN_LENGTH]:
        turns[IN_RUN] = 0
        turns[RUN] = (turns[RUN] + 1) % (turns[HINT_RUNS] + turns[SCAN_RUNS])


@kernel
def _look_at_hinted(h: Any, k: Any, x: Any, entry: int) -> None:
    if k.st[0]["cursor"] == HEAD:
        begin_full_scan(h, k)  # so that what is inserted now is not forgotten at once
    mm = mm_of_entry(h, entry)
    x.st[HINTED] += 1
    if is_alive(h, mm) and k.slots[mm]["on_list"] and candidate_frame(load(h.pte, entry)) != 0:
        get_item(k, mm, entry)
        _look_at(h, k, x, entry, True)
    else:
        x.st[MISSED] += 1


@kernel
def _look_at(h: Any, k: Any, x: Any, entry: int, hinted: bool) -> None:
    was_merged = _is_merged(h, entry)
    pfn = settle_without_unstable(h, k, entry, not hinted)
    if pfn != 0:
        other = _find_waiting(h, k, x, entry, pfn, hinted)
        if other != 0:
            merge_with_tree_page(h, k, entry, pfn, other)
    if not was_merged and _is_merged(h, entry):
        _count_found(k, x, entry, hinted)


@kernel
def _find_waiting(h: Any, k: Any, x: Any, entry: int, pfn: int, hinted: bool) -> int:
    """A page that waits for this content, or 0: then this one waits now."""
    if x.st[VARIANT] == HASH_TABLE:
        return table_search_insert(h, k, x, entry, pfn)
    return tree_search_insert(h, k, x, entry, pfn, hinted)


@kernel
def _is_merged(h: Any, entry: int) -> bool:
    pte = load(h.pte, entry)
    pfn = candidate_frame(pte)
    return pte & ZERO != 0 or (pfn != 0 and stable_node_of(h, pfn) != 0)


@kernel
def _count_found(k: Any, x: Any, entry: int, hinted: bool) -> None:
    x.st[FOUND_BY_HINT if hinted else FOUND_BY_SCAN] += 1
    if x.hinted_at[entry] != 0:
        x.st[WAITED] += 1
        x.st[WAITED_MS] += k.st[0]["now"] - (x.hinted_at[entry] - 1)
        x.hinted_at[entry] = 0
