"""What looks on while a host runs: a program in a namespace of its own, or a folder until the run is over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.guise.answers import Clerk, Near, pair
from vmdedup.guise.files import HostFiles
from vmdedup.guise.fuse import Mount, why_not
from vmdedup.guise.namespace import need_namespaces, unshare
from vmdedup.guise.plain import EVERY_S, MISSING, PlainFiles
from vmdedup.ours import child
from vmdedup.ours.passing import Passing
from vmdedup.run.clock.desk import Desk

IsOver = Callable[[], bool]


class Program:
    """`vmdedup exec`: a program for which the emulated host is this host. status: its exit status, in the end."""

    def __init__(self, command: Sequence[str], plain: bool) -> None:
        """EnvironmentLacksError: there is no namespace to be had. UsageError: there is no such program."""
        if child.find(command[0]) is None:
            raise UsageError(f"{command[0]} is no program here; install it, or give its whole path")
        need_namespaces()
        self._command, self._plain = list(command), plain
        self._failure = ""
        self.status = 0

    @contextmanager
    def visit(self, desk: Desk, files: HostFiles) -> Iterator[IsOver]:
        """It runs inside; over when all that it has started has ended."""
        ours, theirs = pair()
        with Passing() as folder:
            orders = [str(folder.path), self._plain, self._command, dict(os.environ)]
            clerk = Clerk(ours, Near(files), {"orders": lambda: orders, "failed": self._fail})
            command = unshare(*child.python_module("vmdedup.guise.stage", str(theirs.fileno())))
            process = child.start(command, pass_fds=(theirs.fileno(),))
            theirs.close()
            try:
                yield lambda: process.poll() is not None
            finally:
                desk.close()
                clerk.close()
                status = process.wait()
                self.status = status if status >= 0 else 128 - status
        if self._failure:
            raise EnvironmentLacksError(f"the host's files cannot be put in place here: {self._failure}")

    def _fail(self, why: str) -> None:
        self._failure = why


class Folder:
    """`vmdedup mount`: the emulated host's files below a folder, as DIR/sys and DIR/proc."""

    def __init__(self, path: Path, plain: bool) -> None:
        """UsageError: it is no folder that is empty."""
        self.path, self._plain = path.absolute(), plain
        try:
            is_empty = not any(self.path.iterdir())
        except OSError as error:
            raise UsageError(f"{path} cannot be used: {error.strerror}; make an empty folder") from None
        if not is_empty:
            raise UsageError(f"{path} is not empty; give an empty folder")

    @contextmanager
    def visit(self, desk: Desk, files: HostFiles) -> Iterator[IsOver]:
        """They are there inside; over when somebody has unmounted them."""
        near = Near(files)
        with self._plainly(near) if self._plain else self._mounted(near) as is_over:
            try:
                yield is_over
            finally:
                desk.close()

    @contextmanager
    def _mounted(self, near: Near) -> Iterator[IsOver]:
        """Root's are for all users to see; they go with this process, however it ends, where fusermount3 is."""
        options = {"allow_other": os.geteuid() == 0, "auto_unmount": child.find("fusermount3") is not None}
        try:
            mount = Mount(near, self.path, **options)
        except OSError as error:
            raise EnvironmentLacksError(f"{error}; use --plain") from None
        try:
            yield lambda: not mount.is_served()
        finally:
            unmount(self.path)
            mount.join()

    @contextmanager
    def _plainly(self, near: Near) -> Iterator[IsOver]:
        tree, end = PlainFiles(near, self.path), threading.Event()

        def refresh() -> None:
            with suppress(OSError):
                while not end.wait(EVERY_S):
                    tree.refresh()

        thread = threading.Thread(target=refresh, name="vmdedup-plain", daemon=True)
        thread.start()
        try:
            yield lambda: not thread.is_alive()
        finally:
            end.set()
            thread.join()
            tree.remove()


def unmount(path: Path) -> None:
    """Take a mount away, also while somebody has files of it open."""
    command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
    with suppress(FileNotFoundError):
        child.run([*command, str(path)], capture_output=True)


def is_plain(wanted: bool) -> tuple[bool, str]:
    """Whether files are to be plain ones, and what the user is told of it. wanted: by the user."""
    if wanted:
        return True, MISSING
    why = why_not()
    return bool(why), f"{why}; {MISSING}" if why else ""
