"""What a process may have: cores, and open files. Files are counted before they are opened, and the soft
limit is raised if it must be."""

from __future__ import annotations

import os
import resource

from vmdedup.errors import EnvironmentLacksError

SPARE = 32  # descriptors beyond those counted: libraries, temporary files, pipes
TOO_MANY = "too many files are open; allow more with ulimit -n, or name fewer at once"


def need_descriptors(count: int, what: str) -> None:
    """Allow so many open files besides those open now. what: needs them, as in "400 guests".

    The soft limit is raised to the hard one only if it is too low, and the hard one only if that is, which root may.
    EnvironmentLacksError: the system does not allow so many.
    """
    needed = count + SPARE + _open_now()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _reaches(soft, needed):
        return
    if _reaches(hard, needed):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
    except (OSError, ValueError):
        raise EnvironmentLacksError(
            f"{what} need {needed} open files, and this process may have {hard}; allow more: ulimit -n {needed}"
        ) from None


def _reaches(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 3


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
