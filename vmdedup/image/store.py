"""Built images, kept: one directory each, complete or not there at all."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.image.build import Note, build, check_tools
from vmdedup.image.packages import PackageStore
from vmdedup.image.recipe import NAME_ARGUMENT, READY, Recipe, load_recipe, recipe_file
from vmdedup.image.site import Site

FORMAT = 1


@dataclass(frozen=True)
class Image:
    """A built image.

    kernel, initrd: files for QEMU's -kernel and -initrd. disk: the raw root disk, to be used as the base of overlays.
    ssh_key: root's private key. cmdline: the kernel's command line; a guest's own name goes behind name_argument.
    ready: what the guest writes to its first serial port when it is up, followed by its name. memory_mib: the least
    with which it boots. tree: the directory that is its root file system. digest: of its recipe.
    """

    name: str
    directory: Path
    kernel: Path
    initrd: Path
    disk: Path | None
    ssh_key: Path | None
    cmdline: str
    ready: str
    memory_mib: int
    tree: Path
    name_argument: str
    digest: str

    def command_line(self, guest: str, *more: str) -> str:
        """The kernel's command line for a guest of that name."""
        return " ".join((self.cmdline, f"{self.name_argument}{guest}", *more))


def require(name: str, site: Site | None = None, note: Note = lambda text: None) -> Image:
    """The image of that name, built first if it is missing or its recipe has changed.

    EnvironmentLacksError: what this machine lacks.
    """
    site = site or Site.of_user()
    recipe = load_recipe(name)
    image = find(recipe.name, site)
    if image is not None and image.digest == recipe.digest:
        return image
    return make(recipe, site, note=note)


def built(name: str, site: Site | None = None) -> Image:
    """The image of that name as it is built, of whatever recipe. UsageError: with the command that builds it."""
    recipe_file(name)  # a name that may be made a path of
    image = find(name, site or Site.of_user())
    if image is None:
        raise UsageError(f"image {name!r} is not built; run: vmdedup image build {name}")
    return image


def make(recipe: Recipe, site: Site, force: bool = False, note: Note = lambda text: None) -> Image:
    """Build an image and put it in its place, unless another process just did. force: even if it is up to date."""
    check_tools(recipe)
    try:
        with site.building(recipe.name, note) as directory:
            image = find(recipe.name, site)
            if image is not None and image.digest == recipe.digest and not force:
                return image
            build(recipe, directory, PackageStore(site.packages), note)
            _describe(recipe, directory)
            site.put(recipe.name, directory)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        remedy = f"free some room in {site.directory}, or set VMDEDUP_CACHE to another directory"
        raise EnvironmentLacksError(f"image {recipe.name!r}: {error.strerror}; {remedy}") from None
    found = find(recipe.name, site)
    assert found is not None
    return found


def find(name: str, site: Site) -> Image | None:
    """The built image of that name, of whatever recipe; None if there is none, or it is not of this format."""
    return read(site.images / name)


def read(directory: Path) -> Image | None:
    """The built image in a directory; None if there is none, or it is not of this format."""
    try:
        about = json.loads((directory / "image.json").read_text())
    except (OSError, ValueError):
        return None
    if about.get("format") != FORMAT:
        return None
    return Image(
        name=about["name"],
        directory=directory,
        kernel=directory / about["kernel"],
        initrd=directory / about["initrd"],
        disk=directory / about["disk"] if about["disk"] else None,
        ssh_key=directory / about["ssh_key"] if about["ssh_key"] else None,
        cmdline=about["cmdline"],
        ready=about["ready"],
        memory_mib=about["memory_mib"],
        tree=directory / "tree",
        name_argument=about["name_argument"],
        digest=about["digest"],
    )


def verify(image: Image) -> list[str]:
    """The files of an image that are missing or not as they were built; none if all is well."""
    about = json.loads((image.directory / "image.json").read_text())
    wrong = []
    for name, digest in about["sha256"].items():
        path = image.directory / name
        if not path.is_file() or _sha256(path) != digest:
            wrong.append(name)
    return wrong


def remove(name: str, site: Site) -> bool:
    """Remove a built image. Returns whether there was one."""
    directory = site.images / name
    if not directory.is_dir():
        return False
    with site.building(name, lambda text: None):
        site.drop(name)
    return True


def _describe(recipe: Recipe, directory: Path) -> None:
    """image.json: what others need to know to start the image, and the checksum of each file."""
    files = sorted(path.name for path in directory.iterdir() if path.is_file())
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": recipe.name,
        "description": recipe.description,
        "digest": recipe.digest,
        "kernel": "kernel",
        "initrd": "initrd",
        "disk": "root.raw" if recipe.disk is not None else None,
        "ssh_key": "ssh_key",
        "cmdline": recipe.cmdline,
        "ready": READY,
        "name_argument": NAME_ARGUMENT,
        "memory_mib": recipe.memory_mib,
        "sha256": {name: _sha256(directory / name) for name in files},
    }
    (directory / "image.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
