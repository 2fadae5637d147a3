"""Debian's releases, as this machine's own apt could have them: lists of their packages, kept apart from its own.

Where packages come from is copied from the machine's configuration; only the names of the releases are others. Nothing
is installed, and nothing of the machine's apt is changed.
"""

from __future__ import annotations

import re
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.tools import require_tools, run_tool
from vmdedup.ours.folder import private

SUITES = ("bullseye", "bookworm", "trixie", "trixie-backports", "sid")
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # of the package debian-archive-keyring
_RELEASE = re.compile("(old)*stable|testing|unstable|bullseye|bookworm|trixie|forky|sid")
_TARGET = re.compile(r"(\S+) (\S+) main$", re.MULTILINE)


class Suites:
    """Package lists of several releases in a folder of ours. options: what has apt-get and apt-cache look there."""

    def __init__(self, folder: Path) -> None:
        """EnvironmentLacksError: there is no apt here."""
        require_tools(("apt-get", "dpkg-deb"))
        self._folder = private(folder, 0o755)
        for name in ("state/lists/partial", "cache/archives/partial"):
            private(folder / name, 0o755)
        (folder / "status").touch()
        self._sources = folder / "sources.list"
        settings = {
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
            "APT::Get::List-Cleanup": "0",
        }
        self.options = tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))

    def update(self) -> list[str]:
        """Fetch the lists of all releases. Returns which could not be had. EnvironmentLacksError: none could."""
        had, missing = [], []
        for line in self._lines():
            self._sources.write_text(line)
            try:
                run_tool(["apt-get", "-q", *self.options, "update", "--error-on=any"])
            except EnvironmentLacksError as error:
                missing.append(f"{line.split()[-2]} ({error})")
            else:
                had.append(line)
        if not had:
            raise EnvironmentLacksError(f"no list of packages could be had: {'; '.join(missing)}; see that apt works")
        self._sources.write_text("".join(had))
        return missing

    def names(self) -> list[str]:
        """All packages whose name begins with linux-."""
        return run_tool(["apt-cache", *self.options, "pkgnames", "linux-"]).decode().split()

    def _lines(self) -> list[str]:
        """A line of sources.list for each release. EnvironmentLacksError: this machine's apt knows no Debian."""
        said = run_tool(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]).decode()
        places = [place for place, release in _TARGET.findall(said) if _RELEASE.fullmatch(release)]
        if not places:
            raise EnvironmentLacksError("this machine's apt knows no release of Debian; give vm:PATH/bzImage instead")
        keys = f"[signed-by={_KEYS}] " if _KEYS.is_file() else ""
        return [f"deb {keys}{places[0]} {suite} main\n" for suite in SUITES]
