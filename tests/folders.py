"""Through which folders, and files, of vmdedup/ one command goes: the longest chain of them on its stack of calls.

    python tests/folders.py live run twins --direct --duration 2s --output /tmp/x

A chain has a new link where a function in one calls one in another; it goes back where that stands in it already. What
runs while a module is imported is left out, and so is what other processes do.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import vmdedup

ROOT = str(Path(vmdedup.__file__).parent)


def file_of(path: str) -> str:
    """A source file below vmdedup/; nothing if it is not ours."""
    return str(Path(path).relative_to(ROOT)) if path.startswith(f"{ROOT}/") else ""


def folder_of(path: str) -> str:
    """Its folder."""
    return str(Path(file_of(path)).parent) if file_of(path) else ""


class Chains(threading.local):
    """What stands on a thread's stack, by `unit`; longest: the longest chain of all threads, a list for all of them."""

    def __init__(self, unit: Callable[[str], str], longest: list[str]) -> None:
        self.longest = longest
        self._unit = unit
        self._known: dict[str, str] = {}
        self._chain: list[str] = []
        self._frames: list[bool] = []  # of each call, whether it has a link
        self._importing = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """What sys.setprofile calls."""
        is_module = frame.f_code.co_name == "<module>"
        if event == "call":
            self._importing += is_module
            path = frame.f_code.co_filename
            if path not in self._known:
                self._known[path] = self._unit(path)
            self._enter("" if self._importing else self._known[path])
        elif event == "return" and self._frames:
            self._importing -= is_module
            if self._frames.pop():
                self._chain.pop()

    def _enter(self, name: str) -> None:
        begins = bool(name) and (not self._chain or self._chain[-1] != name)
        self._frames.append(begins)
        if begins:
            self._chain.append(name)
            if len(self._chain) > len(self.longest):
                self.longest[:] = self._chain


def main() -> int:
    """Run the command; returns its exit status."""
    from vmdedup.cli import run_command

    chains = {"folders": Chains(folder_of, []), "files": Chains(file_of, [])}

    def look(frame: FrameType, event: str, _: Any) -> None:
        for each in chains.values():
            each(frame, event, _)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        status = run_command(sys.argv[1:])
    finally:
        sys.setprofile(None)
    for what, each in chains.items():
        back = len(each.longest) - len(set(each.longest))
        print(f"{len(each.longest)} {what}, {back} times back: {' > '.join(each.longest)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
