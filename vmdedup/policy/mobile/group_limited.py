"""Scanning by groups: pages are compared within their group only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.mobile.areas import Area
from vmdedup.policy.mobile.rounds import RoundPolicy

BY_KIND, BY_PROGRAM = 0, 1
_FACTOR, _LARGEST = 0x9E3779B97F4A7C15, (1 << 63) - 1  # numbers of groups, spread over all words


class GroupLimited(RoundPolicy):
    """A table for each group: areas of one kind (heaps, stacks, graphics, files), or all of one program.

    By kind little is lost, since what is equal is mostly of one kind; by program apps are kept apart. Zero pages are
    shared by all groups.
    """

    name: ClassVar[str] = "group_limited"
    source: ClassVar[str] = "Kim et al., Euro-Par workshops 2011; Deng et al., SOSE 2013 (abstracts)"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        "group_by": Tunable("group_by", BY_KIND, "0: by kind of area; 1: by program", high=1)
    }

    def _group(self, area: Area) -> int:
        number = area.kind if self._knobs["group_by"] == BY_KIND else (area.mm << 32) + area.owner + 1
        return (1 + number) * _FACTOR & _LARGEST
