"""What the KSM of each version of Linux does, and which of its files there are: one table of differences.

A *profile* is one version's column of these tables. Families, by what ksmd decides: A up to 6.10, B from 6.11 to 7.2, C
from 7.3 on. What a version that is not named in a test does is that of the named ones around it, which agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vmdedup.errors import UsageError
from vmdedup.host.thp import (
    COLLAPSE_READONLY,
    HUGE_OVER_ZERO,
    LESS_IS_NOTHING,
    OWN_FOLIO,
    SPLIT_FREES_ZEROS,
    SPLIT_STOPS,
    TABLES_GO,
    UNSHARED_READONLY,
    ZEROS_UNWRITTEN,
)

Version = tuple[int, int]
OLDEST: Final[Version] = (5, 4)

# Since which version it behaves so. Names that are fields of ksmd's state record (ksm.layout) are looked at by kernels.
BEHAVIOUR: Final[Mapping[str, Version]] = {
    # A page that has changed since the last visit is left alone; before, it was first looked for in the stable tree.
    "checksum_first": (6, 11),
    # A child's ksm_stat starts at nothing; before, with its parent's figures, whose surplus it kept for life.
    "fork_starts_anew": (6, 12),
    # A chain of one goes in any walk; before, in one that prunes, and only if its dup takes more sharers.
    "chain_of_one_goes": (6, 11),
    # Zero pages that ksmd placed are counted, and undone by run=2 and MADV_UNMERGEABLE.
    "zero_pages_known": (6, 6),
    # An item that leaves the stable tree has no checksum, age and skips any more.
    "items_start_anew": (7, 3),
    # move_pages() counts all that it leaves where it is; before, one less at its end.
    "move_counts_last": (6, 1),
    # A page that is not there has a status of its own; before, that of the zero page.
    "absent_is_told": (6, 12),
}
# How it deals with huge pages, and with swap: bits that the host looks at, and from which version (to before which)
# they hold.
HUGE_RULES: Final[Mapping[int, tuple[Version, Version | None]]] = {
    SPLIT_FREES_ZEROS: ((6, 12), None),
    # Seen on 6.18, not on 6.12 and 7.2; what brought it, and what ended it, tell the rest.
    SPLIT_STOPS: ((6, 15), (7, 0)),
    HUGE_OVER_ZERO: ((6, 13), None),
    TABLES_GO: ((6, 14), None),
    OWN_FOLIO: ((6, 15), None),
    UNSHARED_READONLY: ((6, 2), None),
    COLLAPSE_READONLY: ((6, 18), None),
    LESS_IS_NOTHING: ((7, 0), None),
    ZEROS_UNWRITTEN: ((6, 12), None),
}
# Since which version there is a file of /sys/kernel/mm/ksm, a line of /proc/PID/ksm_stat or smaps, a counter of
# /proc/vmstat, or an advice. What is not here is older than all versions that can be asked for. ksm_stat: those of its
# lines that were files before.
FILES: Final[Mapping[str, Version]] = {
    "ksm_merging_pages": (5, 19),
    "ksm_rmap_items": (5, 19),
    "cow_ksm": (5, 19),
    "ksm_swpin_copy": (5, 19),
    "thp_underused_split_page": (6, 12),
    "MADV_COLLAPSE": (6, 1),
    "memory.reclaim": (5, 19),
    "KSM": (6, 8),
    "general_profit": (6, 4),
    "ksm_process_profit": (6, 4),
    "ksm_zero_pages": (6, 6),
    "pages_scanned": (6, 6),
    "pages_skipped": (6, 7),
    "smart_scan": (6, 7),
    "PR_SET_MEMORY_MERGE": (6, 4),
    "ksm_stat:ksm_merging_pages": (6, 4),
    "ksm_merge_any": (6, 15),
    "ksm_mergeable": (6, 15),
    "advisor_mode": (6, 8),
    "advisor_max_cpu": (6, 8),
    "advisor_min_pages_to_scan": (6, 8),
    "advisor_max_pages_to_scan": (6, 8),
    "advisor_target_scan_time": (6, 8),
}


@dataclass(frozen=True)
class Profile:
    """One version of Linux. otherwise: behaviours and files in which it is contrary to the tables."""

    version: Version
    otherwise: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    def does(self, behaviour: str) -> bool:
        """Whether its ksmd behaves so. behaviour: of BEHAVIOUR."""
        return (self.version >= BEHAVIOUR[behaviour]) != (behaviour in self.otherwise)

    def has(self, file: str) -> bool:
        """Whether it has a file, or a counter, of that name."""
        return (self.version >= FILES.get(file, OLDEST)) != (file in self.otherwise)

    @property
    def huge_rules(self) -> int:
        """How it deals with huge pages, and with swap: bits of host.thp."""
        return sum(
            bit
            for bit, (since, until) in HUGE_RULES.items()
            if self.version >= since and (not until or self.version < until)
        )

    @property
    def tells_ksm_pages(self) -> bool:
        """Whether its /proc/kpageflags marks KSM pages only, and no other anonymous ones."""
        return not (6, 12) <= self.version < (7, 0)

    @property
    def family(self) -> str:
        """A, B or C: what its ksmd decides."""
        if not self.does("checksum_first"):
            return "A"
        return "C" if self.does("items_start_anew") else "B"


DEFAULT: Final = Profile((6, 18))
_VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,3})(?:\..*)?")


def profile(version: str) -> Profile:
    """The profile of "6.1", or of a whole release as "6.1.0-28-amd64". UsageError: it is none, or too old."""
    found = _VERSION.fullmatch(version)
    if found is None or (wanted := (int(found[1]), int(found[2]))) < OLDEST:
        oldest = Profile(OLDEST)
        raise UsageError(f"kernel {version!r} is none that is known; give a version from {oldest} on, as {DEFAULT}")
    return Profile(wanted)
