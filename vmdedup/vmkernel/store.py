"""Kernels in the cache: fetched from Debian's packages, named by version, with the checksums of what they are.

CACHE/linux/RELEASE/bzImage, *.ko (in the order in which they are loaded), kernel.json
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.image.packages import PackageStore
from vmdedup.ours.folder import cache, private, scratch
from vmdedup.vmkernel.suites import Suites

IMAGE, RECORD = "bzImage", "kernel.json"
# What swapping to a disk or to zram needs, in a kernel that is made of modules.
WANTED_MODULES = ("virtio_pci", "virtio_blk", "zram", "lzo_rle", "lzo")
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)*")
_PACKAGE = re.compile(r"linux-(?:image|binary)-(([0-9]+(?:\.[0-9]+){2,})\S*-cloud-amd64)")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted. release: as it calls itself; nothing for one of the user's own."""

    image: Path
    release: str = ""
    modules: tuple[Path, ...] = ()
    sha256: str = ""

    @property
    def version(self) -> str:
        """6.18 of 6.18.15+deb13-cloud-amd64; nothing for one of the user's own."""
        return ".".join(self.release.split(".")[:2])


def folder() -> Path:
    """Where they are kept."""
    return private(cache() / "linux", 0o755)


def kernels() -> list[Kernel]:
    """All that have been fetched, oldest version first."""
    found = sorted(folder().glob(f"*/{RECORD}"), key=lambda path: _order(path.parent.name))
    return [_load(path.parent) for path in found]


def kernel(name: str) -> Kernel:
    """The kernel that 7.2 or PATH/bzImage names. UsageError: it has not been fetched, or there is no such file."""
    if not _VERSION.fullmatch(name):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"{name}: there is no such kernel; give a version, as 7.2, or the path of a bzImage")
        return Kernel(path.resolve())
    matching = [found for found in kernels() if _is_of(found.release, name)]
    if not matching:
        raise UsageError(f"Linux {name} has not been fetched; run: vmdedup kernel fetch {name}")
    found = matching[-1]
    if _sha256(found.image) != found.sha256:
        raise UsageError(f"{found.image} is not what was fetched; run: vmdedup kernel fetch --again {name}")
    return found


def fetch(versions: list[str], again: bool = False) -> Iterator[tuple[str, Kernel, list[str]]]:
    """Fetch kernels. Yields version, kernel, and which releases' lists of packages could not be had.

    again: those that are here, too. UsageError: no package has such a version. EnvironmentLacksError: apt.
    """
    for version in versions:
        if not _VERSION.fullmatch(version):
            raise UsageError(f"{version!r} is no version of Linux; give one as 6.1 or 6.18.15")
    missing = [version for version in versions if again or not any(_is_of(one.release, version) for one in kernels())]
    suites, lost, names = None, [], []
    if missing:
        suites = Suites(folder() / "apt")
        lost, names = suites.update(), suites.names()
    for version in versions:
        if suites is not None and version in missing:
            yield version, _fetch(version, suites, names, lost), lost
        else:
            yield version, kernel(version), lost


def _fetch(version: str, suites: Suites, names: list[str], lost: list[str]) -> Kernel:
    releases = {found[1] for name in names if (found := _PACKAGE.fullmatch(name)) and _is_of(found[2], version)}
    if not releases:
        known = sorted({".".join(f[2].split(".")[:2]) for name in names if (f := _PACKAGE.fullmatch(name))}, key=_order)
        without = f" (without {', '.join(lost)})" if lost else ""
        raise UsageError(f"Debian has no Linux {version} now{without}; it has {', '.join(known)}")
    release = max(releases, key=_order)
    packages = [f"linux-binary-{release}", f"linux-modules-{release}"]
    if packages[0] not in names:
        packages = [f"linux-image-{release}"]
    with scratch(folder(), ".new-") as temporary:
        store = PackageStore(temporary / "packages", suites.options)
        for package in packages:
            store.unpack(package, temporary / "files")
        done = private(temporary / "kernel", 0o755)
        _keep(temporary / "files", release, done)
        target = folder() / release
        shutil.rmtree(target, ignore_errors=True)
        os.replace(done, target)
    return _load(target)


def _keep(files: Path, release: str, target: Path) -> None:
    """Take the image and the modules from unpacked packages. EnvironmentLacksError: they hold no kernel."""
    images = [*files.glob(f"boot/vmlinuz-{release}"), *files.glob(f"**/lib/modules/{release}/vmlinuz")]
    if not images:
        raise EnvironmentLacksError(f"the packages of {release} hold no kernel; fetch another version")
    shutil.copyfile(images[0], target / IMAGE)
    names = []
    for name, data in _modules(files, release).items():
        names.append(f"{name}.ko")
        (target / names[-1]).write_bytes(data)
    sums = {name: _sha256(target / name) for name in (IMAGE, *names)}
    (target / RECORD).write_text(json.dumps({"release": release, "modules": names, "sha256": sums}, indent=1) + "\n")


def _modules(files: Path, release: str) -> dict[str, bytes]:
    """The modules wanted that there are, each after those that it depends on."""
    paths = {}
    for path in files.glob(f"**/lib/modules/{release}/kernel/**/*.ko*"):
        paths[path.name.partition(".ko")[0].replace("-", "_")] = path
    found: dict[str, bytes] = {}

    def take(name: str) -> None:
        if name in found or name not in paths:
            return
        data = paths[name].read_bytes()
        data = lzma.decompress(data) if paths[name].suffix == ".xz" else data
        depends = _DEPENDS.search(data)
        for other in (depends[1] if depends else b"").decode().split(","):
            take(other.replace("-", "_"))
        found[name] = data

    for name in WANTED_MODULES:
        take(name)
    return found


def _load(place: Path) -> Kernel:
    try:
        record = json.loads((place / RECORD).read_text())
        modules = tuple(place / name for name in record["modules"])
        return Kernel(place / IMAGE, record["release"], modules, record["sha256"][IMAGE])
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentLacksError(f"{place / RECORD} is damaged; remove {place}, and fetch it again") from None


def _is_of(release: str, version: str) -> bool:
    """Whether a release is of a version: 6.18.15+deb13 of 6.18, but 6.1.0 not of 6."""
    return re.match(re.escape(version) + r"(?![0-9])", release) is not None


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"[0-9]+", release)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
