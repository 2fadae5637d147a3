"""What a guest is: everything that decides which bytes it stores, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vmdedup.errors import UsageError
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.parameters import Value, parameter, parameters_of, share

MIN_PAGES = 1024
_PAGES_PER_MIB = 256

FreePages = Literal["left", "zero_on_free", "zero_on_alloc"]
FREE_POLICIES: tuple[FreePages, ...] = ("left", "zero_on_free", "zero_on_alloc")
Aslr = Literal["linux", "off", "pages", "bytes"]
ASLR_MODES: tuple[Aslr, ...] = ("linux", "off", "pages", "bytes")


@dataclass(frozen=True)
class Variant:
    """A release of a disk (guest.variant). Guests with equal variants read equal bytes."""

    differs: float = share(0.0, "files that are not as in the disk's own release")
    shifted: float = share(0.6, "of those, files whose content is shifted; the others are rebuilt in place")
    seed: int = parameter(0, "", "which release; other seeds, other files and other bytes")


@dataclass(frozen=True)
class BalloonSpec:
    """A guest's balloon (guest.balloon), as the host wants it. Without target and pulse it stays empty."""

    target_mib: float = parameter(0.0, "MiB", "memory that the guest is left with; 0: all")
    deflate_on_oom: bool = parameter(True, "", "the guest may take pages back rather than run out of memory")
    pulse_every_s: float = parameter(0.0, "s", "so often it is pressed down for a while; 0: never")
    pulse_s: float = parameter(5.0, "s", "for so long")
    pulse_mib: float = parameter(0.0, "MiB", "and left with so much meanwhile; 0: with all")


@dataclass(frozen=True)
class ImageSpec:
    """Where a guest's memory comes from. path: a dump, with replay a recording, with model a model of its kind.

    guest: a recorded guest by its name, or the n-th, counted round; of a model, the n-th that is made from it. speed:
    recorded seconds in one of virtual time.
    """

    path: str
    replay: bool = False
    guest: str | int = 0
    speed: float = 1.0
    model: bool = False


@dataclass(frozen=True)
class GuestSpec:
    """A guest in a scenario. Picklable. Two guests with equal specs do the same, store by store.

    memory_pages: of 4096 bytes. parameters: of the workload, by name. boot: of the boot that comes before any
    workload, by name. seed: this guest's own, 64 bits, split from the scenario's. image: where memory comes from; with
    one, only name, memory_pages, node, mergeable and domain matter besides, and memory may be as small as the image.
    huge_pages: whether its memory is advised to have huge pages. mergeable: whether it may be merged. domain: whom it
    trusts, see host.layout.
    """

    name: str
    memory_pages: int
    disk: DiskSpec = field(default_factory=DiskSpec)
    variant: Variant = field(default_factory=Variant)
    workload: str = "idle"
    parameters: Mapping[str, Value] = field(default_factory=dict)
    boot: Mapping[str, Value] = field(default_factory=dict)
    seed: int = 0
    heap: HeapMix = field(default_factory=HeapMix)
    free_pages: FreePages = parameter(  # noqa: RUF009 - gives a field
        "left", "", "what a freed page holds", choices=FREE_POLICIES
    )
    aslr: Aslr = parameter(  # noqa: RUF009 - gives a field
        "linux",
        "",
        "linux: the kernel at other addresses at each boot; off: everything in its place; pages: the same pages "
        "elsewhere; bytes: kernel image and heaps also at other alignments inside pages",
        choices=ASLR_MODES,
    )
    jitter: float = share(0.1, "chunks of 64 KiB that a guest hands out out of turn, unlike its twins")
    kernel_mib: int = parameter(
        0, "MiB", "size of a plain kernel, alike in all guests, but at most an eighth of memory; 0: as Linux's", low=0
    )
    free_page_reporting: bool = parameter(False, "", "free blocks of 2 MiB go back to the host")
    balloon: BalloonSpec = field(default_factory=BalloonSpec)
    node: int = 0
    huge_pages: bool = True
    mergeable: bool = True
    domain: int = 0
    image: ImageSpec | None = None

    def __post_init__(self) -> None:
        """Raises UsageError if the guest is too small, or if an option is unknown."""
        if self.memory_pages < (MIN_PAGES if self.image is None else 1):
            raise UsageError(
                f"guest {self.name!r}: memory of {self.memory_pages / _PAGES_PER_MIB:g} MiB is too small; "
                f"give at least {MIN_PAGES // _PAGES_PER_MIB} MiB"
            )
        for name, declared in parameters_of(GuestSpec).items():
            try:
                declared.checked(getattr(self, name))
            except UsageError as refused:
                raise UsageError(f"guest {self.name!r}: {refused}") from None

    @property
    def plain_pages(self) -> int:
        """Pages of a plain kernel's image; 0: it is Linux."""
        return min(self.kernel_mib * _PAGES_PER_MIB, self.memory_pages // 8)
