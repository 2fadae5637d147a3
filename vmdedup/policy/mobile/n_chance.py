"""Partial scanning: a page that was not merged in its last N rounds is skipped for some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.mobile.records import CHANCES, REST
from vmdedup.policy.mobile.rounds import RoundPolicy


class NChance(RoundPolicy):
    """Each page has N chances. A skipped page costs a visit, and is not hashed.

    The abstract gives neither N nor when a skipped page has another chance: both are tunables. Linux's smart scan,
    which came of the same thought, skips at most eight rounds.
    """

    name: ClassVar[str] = "n_chance"
    source: ClassVar[str] = "Ahn and Shin, N-chance partial scanning, ISCE 2014 (abstract)"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("chances", 3, "rounds without success before a page is skipped", "rounds", low=1, high=100),
            Tunable("rest_rounds", 8, "rounds that it is skipped then", "rounds", low=1, high=100),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._apply()

    def set(self, knob: str, text: str) -> None:
        """Write a tunable; it takes effect at the next visit."""
        super().set(knob, text)
        self._apply()

    def _apply(self) -> None:
        self._records.settings[CHANCES] = self._knobs["chances"]
        self._records.settings[REST] = self._knobs["rest_rounds"]
