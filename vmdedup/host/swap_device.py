"""What a host swaps to."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["disk", "zram", "zswap"]
POOL_PERCENT: Final = 20  # of host memory, the kernel's default for zswap


class SwapDevice(NamedTuple):
    """A swap device. size: in bytes, of the pages that it can have; None: all that guests have.

    pool: in bytes of host memory, what compressed pages may take (zswap); None: POOL_PERCENT of it. zram has no such
    limit. off: it is to be turned on later, by host.swap.swap_on, as any kind.
    """

    kind: Kind = "disk"
    size: int | None = None
    pool: int | None = None
    off: bool = False

    def records(self, pages: int, page_size: int) -> int:
        """How many swap records a host of so many page table entries has."""
        return 1 + (pages if self.size is None else -(-self.size // page_size))

    @property
    def has_disk(self) -> bool:
        """Whether pages can lie on a disk."""
        return self.off or self.kind != "zram"

    @property
    def has_pool(self) -> bool:
        """Whether pages can lie in host memory, compressed."""
        return self.off or self.kind != "disk"
