"""The files of an emulated system that KSM scripts write and show: of KSM, of huge pages, of khugepaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmdedup.errors import RefusedError
from vmdedup.host.khugepaged import Khugepaged
from vmdedup.host.layout import CTL_THP
from vmdedup.host.memory import Host
from vmdedup.host.thp import THP_ALWAYS, THP_MADVISE, THP_NEVER
from vmdedup.host.thp import TUNABLES as KHUGEPAGED
from vmdedup.ksm.profile import Profile
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES

KSM: Final = "/sys/kernel/mm/ksm/"
THP: Final = "/sys/kernel/mm/transparent_hugepage/"
ENABLED: Final = {"always": THP_ALWAYS, "madvise": THP_MADVISE, "never": THP_NEVER}


class Files:
    """What is behind the files. counters, get: ksmd's, as they are now; put: writes one of its tunables."""

    def __init__(
        self,
        host: Host,
        khugepaged: Khugepaged,
        profile: Profile,
        counters: Callable[[], dict[str, int]],
        get: Callable[[str], int],
        put: Callable[[str, str], None],
    ) -> None:
        self._ctl, self._khugepaged, self._profile = host.arrays.ctl, khugepaged, profile
        self._counters, self._get, self._put = counters, get, put

    def show(self, file: str) -> str | None:
        """What a file says, without the newline; None: there is none."""
        folder, name = _parted(file)
        if folder == KSM and self._profile.has(name):
            if name in COUNTERS:
                return str(self._counters()[name])
            return TUNABLES[name].show(self._get(name)) if name in TUNABLES else None
        if file == f"{THP}enabled":
            return " ".join(f"[{word}]" if self._ctl[CTL_THP] == mode else word for word, mode in ENABLED.items())
        if folder == f"{THP}khugepaged/" and name in KHUGEPAGED:
            return str(self._khugepaged.get(name))
        return None

    def write(self, file: str, value: str) -> None:
        """Write a file. RefusedError: ENOENT, or what the file says."""
        folder, name = _parted(file)
        if folder == KSM:
            self._put(name, value)
        elif file == f"{THP}enabled":
            if value not in ENABLED:
                raise RefusedError(file, "EINVAL")
            self._ctl[CTL_THP] = ENABLED[value]
        elif folder == f"{THP}khugepaged/":
            self._khugepaged.set(name, value)
        else:
            raise RefusedError(file, "ENOENT")


def _parted(file: str) -> tuple[str, str]:
    folder, _, name = file.rpartition("/")
    return f"{folder}/", name
