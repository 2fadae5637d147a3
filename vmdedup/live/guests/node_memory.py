"""KSM's tunables and counters as libvirt has them: the node memory parameters. For what it lacks: KSM's own files."""

from __future__ import annotations

from typing import Any

from vmdedup.live.guests import binding
from vmdedup.live.guests.connection import Connection
from vmdedup.live.ksm.sysfs import KSM, KsmFiles

# Tunables that libvirt sets, and its names for them. Source: virNodeSetMemoryParameters.
PARAMETERS = {
    "pages_to_scan": "shm_pages_to_scan",
    "sleep_millisecs": "shm_sleep_millisecs",
    "merge_across_nodes": "shm_merge_across_nodes",
}
_MOST = (1 << 32) - 1  # they are unsigned 32-bit numbers to libvirt


class NodeFiles(KsmFiles):
    """KSM's files, with the tunables that libvirt has written through it, as far as it takes the value."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(KSM)
        self._connection = connection

    def write(self, knob: str, value: str | int) -> None:
        """Write a tunable. What libvirt refuses is tried on the file, whose refusal says why (KnobError)."""
        text = str(value)
        if knob not in PARAMETERS or not text.isdigit() or int(text) > _MOST:
            super().write(knob, value)
            return
        try:
            self._connection.raw.setMemoryParameters({PARAMETERS[knob]: int(text)}, 0)
        except binding.load().libvirtError:
            super().write(knob, value)


def node_figures(connection: Connection) -> dict[str, Any]:
    """All that libvirt tells of KSM, by KSM's own names. EnvironmentLacksError: this driver or kernel has no KSM."""
    with binding.translated("reading the node's memory parameters"):
        figures = connection.raw.getMemoryParameters(0)
    return {name.removeprefix("shm_"): _unsigned(value) for name, value in sorted(figures.items())}


def _unsigned(value: Any) -> Any:
    """The Python binding hands libvirt's unsigned numbers of 32 bits on as signed ones."""
    return value & _MOST if isinstance(value, int) and -(1 << 31) <= value < 0 else value
