"""The tunables: defaults, and what each refuses. What needs ksmd's state (EBUSY, run 2) is in machine.

Source: mm/ksm.c:*_store, lib/kstrtox.c (v6.18), behaviour only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmdedup.errors import KnobError

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1
I32 = (1 << 31) - 1
# Versions of Linux that have these.
SINCE = {"smart_scan": (6, 7), "advisor_mode": (6, 8), "advisor_max_cpu": (6, 8), "advisor_target_scan_time": (6, 8)}
SINCE |= {"advisor_min_pages_to_scan": (6, 8), "advisor_max_pages_to_scan": (6, 8)}


@dataclass
class Knobs:
    """Every tunable, with the start values of a script."""

    run: int = 1
    pages_to_scan: int = 100
    sleep_millisecs: int = 20
    smart_scan: bool = False
    use_zero_pages: bool = False
    max_page_sharing: int = 256
    merge_across_nodes: int = 1
    stable_node_chains_prune_millisecs: int = 2000
    advisor_mode: str = "none"
    advisor_max_cpu: int = 70
    advisor_min_pages_to_scan: int = 500
    advisor_max_pages_to_scan: int = 30000
    advisor_target_scan_time: int = 200


def parse(knob: str, text: str) -> int | bool | str:
    """Return the value that a tunable takes from a text. KnobError: EINVAL or ERANGE."""
    match knob:
        case "smart_scan" | "use_zero_pages":
            return _boolean(knob, text)
        case "advisor_mode":
            if text not in ("none", "scan-time"):
                raise KnobError(knob, text, "EINVAL")
            return text
        case "run":
            return _number(knob, text, 0, 2, U32)
        case "max_page_sharing":
            return _number(knob, text, 2, I32, I32, out_of_range="ERANGE")
        case "merge_across_nodes":
            return _number(knob, text, 0, 1, U64, out_of_range="ERANGE")
        case "advisor_target_scan_time":
            return _number(knob, text, 1, U64, U64)
        case "advisor_max_cpu":
            return _number(knob, text, 0, U64, U64) & U32  # what does not fit is cut off without a word
        case "advisor_min_pages_to_scan" | "advisor_max_pages_to_scan":
            return _number(knob, text, 0, U64, U64)
        case _:
            return _number(knob, text, 0, U32, U32)


def _number(knob: str, text: str, least: int, most: int, holds: int, out_of_range: str = "EINVAL") -> int:
    """Return a number. EINVAL: none, or not in least..most; out_of_range: more than its type holds."""
    signed = "[+-]?" if holds == I32 else "[+]?"
    if not re.fullmatch(signed + "[0-9]+", text):
        raise KnobError(knob, text, "EINVAL")
    value = int(text)
    if not -holds - 1 <= value <= holds:
        raise KnobError(knob, text, out_of_range)
    if not least <= value <= most:
        raise KnobError(knob, text, "EINVAL")
    return value


def _boolean(knob: str, text: str) -> bool:
    """Return the truth of a word: its first letter decides, or the first two of on and off."""
    start = text.lower()
    if start[:1] in ("y", "t", "1") or start[:2] == "on":
        return True
    if start[:1] in ("n", "f", "0") or start[:2] == "of":
        return False
    raise KnobError(knob, text, "EINVAL")
