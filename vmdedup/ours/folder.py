"""Folders of ours: made, and looked at before anything in them is trusted.

A folder is ours if no other user can change what is in it, nor put another one in its place: it belongs to us, nobody
else may write to it, and every folder above it belongs to us or to root and may be written by nobody else, or is sticky
(as /tmp is), so that others cannot rename what is ours in there. Links on the way are followed as the system does,
and are looked at likewise.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError

MOST_LINKS = 40  # as the system's own limit
SYSTEM_RUNTIME, SYSTEM_CACHE = Path("/run/vmdedup"), Path("/var/cache/vmdedup")
_PREFIX, _RANDOM = "vmdedup-", 5  # bytes; eight letters
_REMEDY = "set TMPDIR to another folder"


def private(path: Path, mode: int = 0o700) -> Path:
    """A folder of ours, made if it is missing, with what is missing above it. mode: 0700, or 0755 for all to read.

    One of ours with a wider mode gets this one. EnvironmentLacksError: it cannot be made, or others may write to it, or
    to one above; says which, and what to do.
    """
    path = Path(os.path.abspath(path))
    try:
        missing = [folder for folder in (*reversed(path.parents), path) if not os.path.lexists(folder)]
        if missing:
            _refuse(path, weakness(missing[0].parent, is_leaf=False))
        for folder in missing:
            _make(folder, mode)
        _refuse(path, weakness(path))
        if path.stat().st_mode & 0o777 & ~mode:
            path.chmod(mode)
    except OSError as error:
        raise EnvironmentLacksError(f"folder {path} cannot be made: {error.strerror}") from None
    return path


def make(path: Path, mode: int = 0o700) -> None:
    """A new folder of ours. EnvironmentLacksError: others could change it. OSError: FileExistsError among them."""
    if reason := weakness(path.parent, is_leaf=False):
        raise EnvironmentLacksError(f"{reason}, so no folder is made in {path.parent}; {_REMEDY}")
    path.mkdir(0o700)
    path.chmod(mode)


def _refuse(path: Path, reason: str) -> None:
    if reason:
        remedy = "see that it is ours alone, or name another folder"
        raise EnvironmentLacksError(f"{reason}, so {path} is not used; {remedy}")


def _make(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(0o700)
        folder.chmod(mode)
    except FileExistsError:
        if not folder.is_dir():  # another process of ours may have been faster
            raise


def weakness(path: Path, is_leaf: bool = True) -> str:
    """Who else could change what is in a folder, or which folder it is, in words; nothing if nobody could.

    is_leaf: the folder itself is to be ours. If not, folders are to be made in it: it may be root's, and sticky.
    """
    here, rest, links = Path("/"), list(path.parts[1:]), 0
    while rest:
        step = here / rest.pop(0)
        try:
            status = step.lstat()
        except OSError as error:
            return f"{step} cannot be looked at: {error.strerror}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{step} belongs to user {status.st_uid}"
        if stat.S_ISLNK(status.st_mode):
            links += 1
            target = Path(os.readlink(step))
            if links > MOST_LINKS:
                return f"{step} is one of too many links"
            rest[:0] = target.parts[1:] if target.is_absolute() else target.parts
            here = Path("/") if target.is_absolute() else here
            continue
        if not stat.S_ISDIR(status.st_mode):
            return f"{step} is no folder"
        is_on_the_way = bool(rest) or not is_leaf
        if _others_may_write(step, status) and not (is_on_the_way and status.st_mode & stat.S_ISVTX):
            return f"{step} may be written by others"
        here = step if step.name != ".." else Path(os.path.normpath(step))
    owner = here.lstat().st_uid
    return "" if owner == os.geteuid() or not is_leaf else f"{here} belongs to user {owner}"


def _others_may_write(path: Path, status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not (_is_own_group(status) and not _has_list(path))


def _is_own_group(status: os.stat_result) -> bool:
    """Whether nobody but the owner is in the group, as where every user has a group of the same name."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == group.gr_gid and owner.pw_name == group.gr_name and set(group.gr_mem) <= {owner.pw_name}


def _has_list(path: Path) -> bool:
    """Whether an access list may let others in, whom the mode shows as the group."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def cache_home() -> Path:
    """Where the user's programs keep what can be made again: XDG_CACHE_HOME if it is absolute, or ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path(os.path.expanduser("~")) / ".cache"


def cache() -> Path:
    """Our folder of what can be made again; root's is the system's if its home will not do.

    EnvironmentLacksError: there is none that is ours alone.
    """
    try:
        return private(cache_home() / "vmdedup", 0o755)
    except EnvironmentLacksError:
        if os.geteuid():
            raise
    return private(SYSTEM_CACHE, 0o755)


def runtime() -> Path:
    """Our folder until the machine is booted again: /run/vmdedup for root, else in XDG_RUNTIME_DIR, or in our cache.

    EnvironmentLacksError: there is none that is ours alone.
    """
    if not os.geteuid():
        return private(SYSTEM_RUNTIME)
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    return private(Path(named) / "vmdedup") if os.path.isabs(named) else private(cache() / "run")


def temporary_root() -> Path:
    """Where temporary files go: TMPDIR, or /tmp."""
    return Path(os.path.abspath(os.environ.get("TMPDIR") or "/tmp"))


def random_name(prefix: str = _PREFIX) -> str:
    """A name that nobody can foretell."""
    return prefix + base64.b32encode(os.urandom(_RANDOM)).decode().lower()


def new(above: Path | None = None, prefix: str = _PREFIX, mode: int = 0o700) -> Path:
    """An empty folder of ours with a name that nobody can foretell; the caller removes it.

    above: the folder to make it in, or the one for temporary files. EnvironmentLacksError: it cannot be made, or not
    so that it is ours alone.
    """
    root = above if above is not None else temporary_root()
    path = root / random_name(prefix)
    try:
        make(path, mode)
    except OSError as error:
        raise EnvironmentLacksError(f"no folder can be made in {root}: {error.strerror}; {_REMEDY}") from None
    return path


@contextmanager
def scratch(above: Path | None = None, prefix: str = _PREFIX) -> Iterator[Path]:
    """The same as a context; it goes with all that is in it."""
    import shutil

    path = new(above, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
