"""Plain files in place of ones that answer: written again and again, and looked at for what others have written.

What they cannot do is MISSING, for a user to read. Files that others keep open, or that are bound elsewhere one by one,
are written over in place; the rest is replaced, so that no reader sees half a text.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from vmdedup.guise.answers import Answers

EVERY_S: Final = 0.5  # between two refreshes
MISSING: Final = (
    f"plain files stand in: what they say is up to {EVERY_S:g} s old, and what the kernel would refuse (EINVAL, EBUSY) "
    "is put back without an error"
)
_IN_PLACE: Final = "proc/"


class PlainFiles:
    """A tree of files below a folder of ours."""

    def __init__(self, answers: Answers, root: Path) -> None:
        self._answers, self._root = answers, root
        self._written: dict[str, str] = {}

    def refresh(self) -> None:
        """Obey what others have written, and write what is now; files of processes that have ended go."""
        self._obey()
        texts = self._answers.read_all()
        modes, _ = self._answers.list()
        for path in self._written.keys() - texts.keys():
            self._take_away(path)
        for path, text in texts.items():
            if text != self._written.get(path):
                self._put(self._root / path, text, modes.get(path, 0o444))
        self._written = texts

    def remove(self) -> None:
        """Take all of it away."""
        for path in self._written:
            self._take_away(path)
        self._written = {}

    def _take_away(self, path: str) -> None:
        """A file, and the folders above it in which nothing is left."""
        (self._root / path).unlink(missing_ok=True)
        with suppress(OSError):
            for folder in list(Path(path).parents)[:-1]:
                (self._root / folder).rmdir()

    def _obey(self) -> None:
        for path, before in self._written.items():
            if path.startswith(_IN_PLACE):
                continue
            with suppress(OSError):
                text = (self._root / path).read_text()
                if text and text != before:
                    self._written[path] = ""  # to be written again, whatever becomes of it
                    self._answers.write(path, text)

    def _put(self, path: Path, text: str, mode: int) -> None:
        path.parent.mkdir(0o755, parents=True, exist_ok=True)
        if str(path.relative_to(self._root)).startswith(_IN_PLACE) and path.exists():
            with path.open("r+") as file:
                os.pwrite(file.fileno(), text.encode(), 0)
                file.truncate(len(text.encode()))
            return
        beside = path.with_name(f".{path.name}")
        beside.write_text(text)
        beside.chmod(mode)
        beside.replace(path)
