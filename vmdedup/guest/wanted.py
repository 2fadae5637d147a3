"""A guest as a scenario's words have it, before anything of it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vmdedup.guest.diskspec import NO_DISK
from vmdedup.guest.seeds import split_seed
from vmdedup.guest.spec import GuestSpec, ImageSpec, Variant
from vmdedup.guest.tables import OPTIONS, made, value_of


@dataclass(frozen=True)
class Wanted:
    """One guest of a group. tables, options: what is said, by name of the table (guest.tables), or of the key.

    seed: the scenario's. number: within the group. has_own_release: whether its variant is another than its twins'.
    Others: as GuestSpec has them.
    """

    name: str
    group: str
    number: int
    memory_pages: int
    workload: str
    tables: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    seed: int
    has_own_release: bool
    huge_pages: bool
    mergeable: bool
    domain: int
    node: int
    image: ImageSpec | None

    def spec(self) -> GuestSpec:
        """The guest. Raises UsageError for what the tables do not take."""
        tables = {name: made(name, self.workload, said) for name, said in self.tables.items()}
        if self.image is not None:
            tables["disk"] = NO_DISK
        tables["variant"] = self._release(tables["variant"])
        return GuestSpec(
            name=self.name,
            memory_pages=self.memory_pages,
            workload=self.workload,
            seed=split_seed(self.seed, self.group, self.number),
            huge_pages=self.huge_pages,
            mergeable=self.mergeable,
            domain=self.domain,
            node=self.node,
            image=self.image,
            **tables,
            **{name: value_of(OPTIONS[name], value) for name, value in self.options.items()},
        )

    def _release(self, variant: Variant) -> Variant:
        """The group's, or one of its own."""
        if not self.has_own_release:
            return variant
        return replace(variant, seed=split_seed(variant.seed, self.group, self.number) >> 32)
