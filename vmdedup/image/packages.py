"""Debian packages as files: downloaded as the machine's own package lists name them, kept, unpacked."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.tools import run_tool
from vmdedup.ours.folder import scratch

_URI = re.compile(r"^'[^']+' (?P<file>\S+) (?P<size>\d+) ", re.MULTILINE)


class PackageStore:
    """A folder of downloaded packages, newest version of each as apt knows it. options: of all calls of apt-get."""

    def __init__(self, folder: Path, options: tuple[str, ...] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._options = options

    def fetch(self, package: str) -> Path:
        """The package's file, downloaded unless it is here. EnvironmentLacksError: what apt-get says, and a remedy."""
        with scratch(self.folder, ".apt-") as temporary:
            return self._fetch(package, temporary)

    def _fetch(self, package: str, temporary: Path) -> Path:
        # apt-get run by root would rather download as a user who cannot write here, and warns of it.
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *self._options, "download"]
        try:
            said = run_tool([*download, "--print-uris", package], cwd=temporary).decode()
            found = _URI.search(said)
            if found is None:
                raise EnvironmentLacksError(f"apt-get does not say where {package} is")
            file = self.folder / found["file"]
            if not file.is_file() or file.stat().st_size != int(found["size"]):
                run_tool([*download, package], cwd=temporary)
                os.replace(temporary / found["file"], file)
        except EnvironmentLacksError as error:
            remedy = "run apt-get update, and see that it succeeds"
            raise EnvironmentLacksError(f"package {package}: {error}; {remedy}") from None
        return file

    def unpack(self, package: str, directory: Path) -> None:
        """All files of a package, below directory."""
        run_tool(["dpkg-deb", "-x", self.fetch(package), directory])

    def kernel_package(self, package: str) -> str:
        """The package that has the kernel's files: this one, or the one that it depends on in name alone."""
        if re.search(r"\d", package.removesuffix("amd64")):
            return package
        text = run_tool(["dpkg-deb", "-f", self.fetch(package), "Depends"]).decode()
        for word in re.split(r"[,|]", text):
            name = word.split()[0].partition(":")[0] if word.split() else ""
            if name.startswith("linux-image-"):
                return name
        raise EnvironmentLacksError(f"package {package} depends on no linux-image package; name another in the recipe")


def take(source: Path, patterns: tuple[str, ...], target: Path) -> None:
    """Copy what patterns name from unpacked packages; all of it below usr, as in a merged system.

    EnvironmentLacksError if a pattern names nothing.
    """
    for pattern in patterns:
        found = sorted(path for path in source.glob(pattern) if path.is_symlink() or path.is_file())
        if not found:
            raise EnvironmentLacksError(f"the packages hold no {pattern}; change take in the recipe")
        for path in found:
            relative = path.relative_to(source)
            place = target / (relative if relative.parts[0] in ("usr", "etc") else "usr" / relative)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place, follow_symlinks=False)


def merged_folders(tree: Path) -> None:
    """bin, sbin, lib and lib64 as links into usr, whether or not something is there yet."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
