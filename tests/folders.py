"""Through which folders of vmdedup/ one command goes: the longest chain of them on its stack of calls.

    python tests/folders.py live run twins --direct --duration 5s --output /tmp/x

A chain begins a new link where a function in one folder calls one in another; it goes back where a folder stands in it
already. What runs while a module is imported is left out, and so is what other processes do.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import vmdedup

ROOT = str(Path(vmdedup.__file__).parent)


def folder_of(path: str) -> str:
    """The folder of a source file below vmdedup/; nothing if it is not ours."""
    return str(Path(path).parent.relative_to(ROOT)) if path.startswith(f"{ROOT}/") else ""


class Chains(threading.local):
    """The folders on a thread's stack; one instance has them of all threads."""

    longest: tuple[str, ...] = ()
    _folders: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.chain: list[str] = []
        self.frames: list[bool] = []  # of each call, whether it began a link
        self.importing = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """What sys.setprofile calls."""
        is_module = frame.f_code.co_name == "<module>"
        if event == "call":
            self.importing += is_module
            path = frame.f_code.co_filename
            if path not in self._folders:
                self._folders[path] = folder_of(path)
            self._enter("" if self.importing else self._folders[path])
        elif event == "return" and self.frames:
            self.importing -= is_module
            if self.frames.pop():
                self.chain.pop()

    def _enter(self, folder: str) -> None:
        begins = bool(folder) and (not self.chain or self.chain[-1] != folder)
        self.frames.append(begins)
        if begins:
            self.chain.append(folder)
            if len(self.chain) > len(Chains.longest):
                Chains.longest = tuple(self.chain)


def main() -> int:
    """Run the command; returns its exit status."""
    from vmdedup.cli import run_command

    chains = Chains()
    threading.setprofile(chains)
    sys.setprofile(chains)
    try:
        status = run_command(sys.argv[1:])
    finally:
        sys.setprofile(None)
    longest = Chains.longest
    print(f"{len(longest)} folders, {len(longest) - len(set(longest))} times back: {' > '.join(longest)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
