"""KSM under a controller: at its times the controller reads the host and writes run, pages_to_scan, sleep_millisecs.

There is one switch, ksmd's own file `run`, as on a real host: whoever wrote it last has decided. A host on which ksmd
does not run yet is where a controller starts it once too little memory is free. The controller's clock goes on
whether ksmd runs, sleeps or stands (is_steered tells those who drive it).
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from typing import ClassVar

from vmdedup.errors import KnobError
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import RUN_MERGE
from vmdedup.policy.controllers.readings import Readings, Setting, read_host
from vmdedup.policy.controllers.tunables import own_names
from vmdedup.policy.ksm import Ksm


class Controlled(Ksm):
    """KSM, and a daemon that steers it. Where the budget is one of CPU time, only what it says about run matters."""

    is_steered: ClassVar[bool] = True

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._own = {name: self.tunables[name].default for name in own_names(self.tunables)}
        self._due: int | None = None
        self._looks = 0
        self._adjustments = 0

    @abstractmethod
    def first_wait_s(self) -> int:
        """Seconds from its start to when it first looks."""

    @abstractmethod
    def wait_s(self) -> int:
        """Seconds from one look to the next."""

    @abstractmethod
    def adjust(self) -> Setting | None:
        """Look at the host, and say what is to be written; None: nothing."""

    @property
    def runs(self) -> bool:
        """Whether ksmd runs now: what its file `run` says."""
        return self._ksmd.get("run") == RUN_MERGE

    def read(self) -> Readings:
        """The host as the controller sees it."""
        return read_host(self.host, self._own["host_memory_mib"])

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock: the controller looks when it is time. One that was kept from it looks once, and goes on."""
        super().charge(now_ms, cpu_ms)
        if self._due is None:
            self._due = now_ms + 1000 * self.first_wait_s()
        if now_ms < self._due:
            return
        self._looks += 1
        self._apply(self.adjust())
        following = self._due + 1000 * self.wait_s()
        self._due = following if following > now_ms else now_ms + 1000 * self.wait_s()

    def _apply(self, setting: Setting | None) -> None:
        if setting is None:
            return
        self._adjustments += 1
        for knob in ("pages_to_scan", "sleep_millisecs"):
            value = getattr(setting, knob)
            if value is not None:
                with suppress(KnobError):  # refused, as by the kernel while its own advisor is on
                    self._ksmd.set(knob, str(value))
        self._ksmd.set("run", str(int(setting.run)))

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self.knobs()[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable: the controller's here, ksmd's as to /sys/kernel/mm/ksm."""
        if knob in self._own:
            self._own[knob] = self.tunables[knob].parse(text)
            if knob == "initial_run" and not self._adjustments:
                self._ksmd.set("run", str(self._own[knob]))
        else:
            super().set(knob, text)

    def knobs(self) -> dict[str, int]:
        """ksmd's files as the controller left them, and the controller's own tunables."""
        return {**super().knobs(), **self._own}

    def counters(self) -> dict[str, int]:
        """KSM's; ksmd_run: whether ksmd runs; looks, adjustments: how often the controller looked, and wrote."""
        ours = {"ksmd_run": int(self.runs), "looks": self._looks, "adjustments": self._adjustments}
        return {**super().counters(), **ours}
