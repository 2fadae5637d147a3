"""Alternatives of a scenario, as `vmdedup run --vary "ksm; reporting; ksm+zram"` names them: the same host and guests
with other means against too little memory.

    none                        no KSM, no reporting, no balloon, no swap
    as it was                   what the scenario says, to which what follows a + is added
    ksm                         ksmd runs, with the scenario's tunables
    ksm fast                    ... with pages_to_scan = 4000
    ksm:pages_to_scan=800       ... with these; more of them with commas between
    reporting                   guests report free pages
    balloon, balloon:64MiB      guests are left with so much; half of what they have
    zram, zswap, disk           swap of half the host's memory, or of the size that the scenario's has
    zram:64MiB                  ... of that size

Several are joined by +. What an alternative does not name is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.scenario.problems import Path
from vmdedup.shown import quoted, suggest
from vmdedup.units import KIB, PAGE_SIZE, parse_size

AS_IT_WAS: Final = "as it was"
KSM_FAST: Final = "pages_to_scan=4000"
SWAPS: Final = ("zram", "zswap", "disk")
PARTS: Final = ("none", AS_IT_WAS, "ksm", "ksm fast", "reporting", "balloon", *SWAPS)
Data = dict[str, Any]
_GUEST: Final = "128MiB"  # memory of a guest that says none


@dataclass(frozen=True)
class Alternative:
    """One of them. name: as it was written. parts: what stands before a colon, and what behind it."""

    name: str
    parts: Mapping[str, str] = field(default_factory=dict)

    def apply(self, data: Data) -> dict[Path, str]:
        """Write it into a scenario's data. Returns the flag behind each key that was changed."""
        host, ksm = _table(data, "host"), _table(data, "ksm")
        groups = [group for group in data.get("guests", ()) if isinstance(group, dict)]
        size = _swap_size(host, groups)
        if AS_IT_WAS not in self.parts:
            host.pop("swap", None)
            ksm["run"] = 0
            for group in groups:
                group.pop("free_page_reporting", None)
                group.pop("balloon", None)
        flags: dict[Path, str] = {}
        for part, said in self.parts.items():
            for path in _APPLY.get(part, _nothing)(part, said, data, groups, size):
                flags[path] = f"--vary {part}:{said}" if said else f"--vary {part}"
        return flags


def alternatives(text: str) -> list[Alternative]:
    """What --vary names. UsageError: an empty or unknown one, one that is there twice, or a value that will not do."""
    found = [_alternative(" ".join(each.split())) for each in text.split(";")]
    names = [each.name for each in found]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UsageError(f"--vary names {quoted(twice[0])} twice; leave one out")
    return found


def _alternative(name: str) -> Alternative:
    parts: dict[str, str] = {}
    for part in name.split("+"):
        what, colon, said = (text.strip() for text in part.partition(":"))
        if what not in PARTS:
            hint = suggest(what, PARTS) if what else "write for example --vary 'ksm; reporting; ksm+zram'"
            raise UsageError(f"--vary: {quoted(what)} is no alternative; {hint}")
        if colon and (what in ("none", AS_IT_WAS, "ksm fast", "reporting") or not said):
            raise UsageError(f"--vary: nothing can be said of {quoted(what)} after a colon; leave it out")
        what, said = ("ksm", KSM_FAST) if what == "ksm fast" else (what, said)
        if what in parts or ("none" in (*parts, what) and len(parts)) or _are_two_swaps(what, parts):
            raise UsageError(f"--vary: {quoted(name)} names what does not go together; leave {quoted(what)} out")
        if what == "ksm":
            _knobs(said)
        elif colon:
            parse_size(said)
        parts[what] = said
    return Alternative(name, parts)


def _are_two_swaps(what: str, parts: Mapping[str, str]) -> bool:
    return what in SWAPS and any(swap in parts for swap in SWAPS)


def _table(data: Data, name: str) -> Data:
    """A table of the data; what is none is refused later."""
    table = data.setdefault(name, {})
    return table if isinstance(table, dict) else {}


def _knobs(said: str) -> dict[str, str]:
    pairs = [knob.partition("=") for knob in said.split(",") if knob.strip()]
    if bad := [name for name, equals, value in pairs if not (name.strip() and equals and value.strip())]:
        raise UsageError(f"--vary: {quoted(bad[0])} is not KNOB=VALUE; write for example ksm:pages_to_scan=1000")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _swap_size(host: Data, groups: list[Data]) -> str:
    """As large as the scenario's own swap, else half of the host's memory, which may be that of its guests."""
    swap = host.get("swap")
    if isinstance(swap, dict) and "size" in swap:
        return str(swap["size"])
    if "memory" in host:
        return _half(parse_size(host["memory"]))
    return _half(sum(int(group.get("count", 1)) * parse_size(group.get("memory", _GUEST)) for group in groups))


def _half(size: int) -> str:
    return f"{size // 2 // PAGE_SIZE * PAGE_SIZE // KIB}KiB"


def _nothing(part: str, said: str, data: Data, groups: list[Data], size: str) -> list[Path]:
    return []


def _apply_ksm(part: str, said: str, data: Data, groups: list[Data], size: str) -> list[Path]:
    knobs = {"run": "1", **_knobs(said)}
    ksm = _table(data, "ksm")
    ksm.update(knobs)
    if "pages_to_scan" in knobs:
        ksm.pop("advisor_mode", None)
    return [("ksm", knob) for knob in knobs]


def _apply_reporting(part: str, said: str, data: Data, groups: list[Data], size: str) -> list[Path]:
    for group in groups:
        group["free_page_reporting"] = True
    return [("guests", number, "free_page_reporting") for number in range(len(groups))]


def _apply_balloon(part: str, said: str, data: Data, groups: list[Data], size: str) -> list[Path]:
    for group in groups:
        group["balloon"] = {"target_mib": said or _half(parse_size(group.get("memory", _GUEST)))}
    return [("guests", number, "balloon") for number in range(len(groups))]


def _apply_swap(part: str, said: str, data: Data, groups: list[Data], size: str) -> list[Path]:
    _table(data, "host")["swap"] = {"kind": part, "size": said or size}
    return [("host", "swap")]


_APPLY: Final = {
    "ksm": _apply_ksm,
    "reporting": _apply_reporting,
    "balloon": _apply_balloon,
    **dict.fromkeys(SWAPS, _apply_swap),
}
