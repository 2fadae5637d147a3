"""Which disk a guest has, and how it is opened: once, by the parent, for all guests that have it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vmdedup.errors import UsageError
from vmdedup.guest.parameters import parameter
from vmdedup.late import load

if TYPE_CHECKING:
    from vmdedup.guest.disk import Disk, Progress

KINDS = ("auto", "tree", "raw", "ext4", "generated")
_NONE = "none"  # of guests that come from a memory image; nobody can ask for it


@dataclass(frozen=True)
class DiskSpec:
    """A disk in a scenario. Guests with equal specs share one disk.

    kind "auto" looks at the path: a directory is a tree, a file with an ext4 superblock is ext4, any other
    file raw. image: the root tree of a built image of real guests, in place of a path.
    """

    path: str = "/usr"
    kind: str = parameter("auto", "", "what the path is; generated needs no path", choices=KINDS)
    seed: int = parameter(0, "", "which generated disk")
    mib: int = parameter(256, "MiB", "size of a generated disk", low=1, high=1 << 20)
    image: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown kind, an empty path or a bad size."""
        if self.kind not in (*KINDS, _NONE):
            raise UsageError(f"disk kind {self.kind!r} is unknown; give one of {', '.join(KINDS)}")
        if not self.path and self.kind not in ("generated", _NONE):
            raise UsageError("disk path is empty; name a directory or an image, or say kind = 'generated'")
        if self.mib < 1:
            raise UsageError(f"a generated disk of {self.mib} MiB is too small; give at least 1")
        if self.image and (self.kind != "auto" or self.path != DiskSpec.path):
            raise UsageError(f"disk image {self.image!r} takes no path and no kind; leave them out, or the image")

    def __str__(self) -> str:
        """What people call it."""
        return "generated disk" if self.kind == "generated" else f"image {self.image}" if self.image else self.path


NO_DISK = DiskSpec(path="", kind=_NONE)


def open_disk(spec: DiskSpec, progress: Progress | None = None) -> Disk:
    """The disk of a spec, ready to be handed to guests.

    progress: called now and then with the number of files found so far (a tree of 100,000 files takes
    seconds). Raises UsageError if there is no such disk, or nothing on it.
    """
    if spec.kind == _NONE:
        return _class(_NONE)()  # type: ignore[no-any-return]
    kind = "image" if spec.image else "generated" if spec.kind == "generated" else _kind_of(spec.path, spec.kind)
    return _OPENERS[kind](spec, progress)


def open_disks(specs: Iterable[DiskSpec], note: Callable[[str], None]) -> dict[DiskSpec, Disk]:
    """Every different disk, opened. note: told now and then what is being read. Raises UsageError."""
    disks: dict[DiskSpec, Disk] = {}
    for spec in dict.fromkeys(specs):
        disks[spec] = open_disk(spec, lambda files, name=str(spec): note(f"{name}: {files:,} files listed"))  # type: ignore[misc]
    return disks


# By kind; a run loads those that it opens.
DISKS: Final[Mapping[str, str]] = {
    "tree": "vmdedup.guest.tree:TreeDisk",
    "raw": "vmdedup.guest.rawdisk:RawDisk",
    "ext4": "vmdedup.guest.ext4:Ext4Disk",
    "generated": "vmdedup.guest.generated:GeneratedDisk",
    _NONE: "vmdedup.guest.emptydisk:EmptyDisk",
}


def _class(kind: str) -> Any:
    """The class of a kind of disks."""
    return load(DISKS[kind])


_OPENERS: Mapping[str, Callable[[DiskSpec, Progress | None], Disk]] = {
    "generated": lambda spec, _: _class("generated").make(spec.seed, spec.mib),
    "image": lambda spec, progress: _of_image(spec.image, progress),
    "tree": lambda spec, progress: _class("tree").scan(spec.path, progress),
    "ext4": lambda spec, _: _class("ext4").open(spec.path),
    "raw": lambda spec, _: _class("raw").open(spec.path),
}


def _of_image(name: str, progress: Progress | None) -> Disk:
    """A built image's files, and its kernel. Raises UsageError: it is not built."""
    image = load("vmdedup.image.store:built")(name)
    disk: Disk = _class("tree").scan(str(image.tree), progress)
    disk.booted = load("vmdedup.guest.linux.cache:booted_pages")(disk.index, name, image.disk is None)
    disk.kernel = load("vmdedup.guest.linux.built:BuiltKernel").open(image.kernel)
    return disk


def _kind_of(path: str, kind: str) -> str:
    """What a path is. kind: what is said that it is."""
    remedy = "name a directory, a raw image or an ext4 image"
    try:
        os.stat(path)
    except FileNotFoundError:
        raise UsageError(f"disk {path!r} does not exist; {remedy}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"disk {path!r} cannot be read ({error}); {remedy}") from None
    if os.path.isdir(path):
        if kind not in ("auto", "tree"):
            raise UsageError(f"disk {path!r} is a directory; say kind = 'tree' or {remedy}")
        if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            raise UsageError(f"disk {path!r} cannot be read (Permission denied); {remedy}")
        return "tree"
    if kind == "tree":
        raise UsageError(f"disk {path!r} is not a directory; say kind = 'auto' or {remedy}")
    if not os.path.isfile(path):
        raise UsageError(f"disk {path!r} is neither a directory nor a file; {remedy}")
    return kind if kind != "auto" else "ext4" if load("vmdedup.guest.ext4:is_ext4")(path) else "raw"
