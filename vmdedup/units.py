"""Sizes, durations and percentages as people write them, and back.

Sizes are whole bytes, durations whole nanoseconds, shares fractions between 0 and 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction

from vmdedup.errors import UsageError
from vmdedup.shown import quoted

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
SECOND_NS = 1_000_000_000
PAGE_SIZE = 4096  # bytes of a page; of an emulated host it can be another (Host.page_size)

_SIZES: Mapping[str, Fraction | int] = {"": 1, "B": 1} | {
    spelling: 1 << (10 * power)
    for power, letter in enumerate("KMGT", start=1)
    for spelling in (letter, f"{letter}i", f"{letter}iB")
}
_DURATIONS: Mapping[str, Fraction | int] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "sec": SECOND_NS,
    "m": 60 * SECOND_NS,
    "min": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_SHARES: Mapping[str, Fraction | int] = {"": 1, "%": Fraction(1, 100)}
_NUMBER = re.compile(r"\s*(?P<number>[+-]?\d[\d_]*(?:\.\d+)?)\s*(?P<unit>[^\s\d]*)\s*\Z")

_MOST_FIGURES = 60

_SIZE_REMEDY = "write a size like 4096, 64KiB, 128MiB or 1.5GiB"
_DURATION_REMEDY = "write a duration like 500ms, 2s or 5min"
_SHARE_REMEDY = "write a share like 25% or 0.25"


def parse_size(value: str | int) -> int:
    """Bytes in a size such as "128MiB", "4G", "1.5GiB" or 4096. Raises UsageError with the remedy."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    number, unit = _split(value, "size", _SIZE_REMEDY)
    if unit in ("kB", "KB", "MB", "GB", "TB"):
        raise UsageError(f"size {quoted(value)}: {unit} is ambiguous; write {unit[0].upper()}iB (powers of 1024)")
    factor = _factor(value, unit, _SIZES, "size", _SIZE_REMEDY)
    _refuse_negative(value, number, "size", _SIZE_REMEDY)
    return _whole(value, number * factor)


def parse_duration(value: str | int | float) -> int:
    """Nanoseconds in a duration such as "2s", "500ms" or "5min"; a bare number is refused, 0 excepted."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value != 0:
        raise UsageError(f"duration {quoted(value)} has no unit; {_DURATION_REMEDY}")
    number, unit = _split(str(value), "duration", _DURATION_REMEDY)
    if unit == "" and number != 0:
        raise UsageError(f"duration {quoted(value)} has no unit; {_DURATION_REMEDY}")
    factor = _factor(value, unit or "s", _DURATIONS, "duration", _DURATION_REMEDY)
    _refuse_negative(value, number, "duration", _DURATION_REMEDY)
    return _in_range(value, round(number * factor), "duration", _DURATION_REMEDY)


def parse_share(value: str | int | float) -> float:
    """A fraction between 0 and 1 from "25%" or 0.25."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise UsageError(f"share {quoted(value)} is no number; {_SHARE_REMEDY}")
        number, unit = Fraction(value), ""
    else:
        number, unit = _split(value, "share", _SHARE_REMEDY)
    share = number * _factor(value, unit, _SHARES, "share", _SHARE_REMEDY)
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"share {quoted(value)} is not between 0% and 100%; {_SHARE_REMEDY}")
    return float(share)


def format_size(size: int) -> str:
    """A size in the largest unit that keeps it readable: 128MiB, 1.5GiB, 512B."""
    for factor, unit in ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(size) >= factor:
            return f"{size / factor:.4g}{unit}" if size / factor < 1000 else f"{size / factor:.0f}{unit}"
    return f"{size}B"


def format_duration(duration: int) -> str:
    """Nanoseconds as people say them: 250ms, 1.5s, 2min 5s, 1h 30min."""
    if duration < SECOND_NS:
        return _small_duration(duration)
    if duration < 60 * SECOND_NS:
        return f"{duration / SECOND_NS:.4g}s"
    minutes, rest = divmod(round(duration / SECOND_NS), 60)
    if minutes < 60:
        return f"{minutes}min {rest}s" if rest else f"{minutes}min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}min" if minutes else f"{hours}h"


def exact_duration(duration: int) -> str:
    """Nanoseconds as parse_duration reads them back, in the largest unit that divides them: 90s, 100ms."""
    units = ((SECOND_NS, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))
    factor, unit = next((factor, unit) for factor, unit in units if duration % factor == 0)
    return f"{duration // factor}{unit}"


def mib(size: float) -> float:
    """MiB in so many bytes."""
    return size / MIB


def _small_duration(duration: int) -> str:
    for factor, unit in ((1_000_000, "ms"), (1_000, "us")):
        if duration >= factor:
            return f"{duration / factor:.4g}{unit}"
    return f"{duration}ns" if duration else "0s"


def _split(value: object, what: str, remedy: str) -> tuple[Fraction, str]:
    match = _NUMBER.match(value) if isinstance(value, str) else None
    if match is None:
        raise UsageError(f"{what} {quoted(value)} is not a number with a unit; {remedy}")
    number = match["number"].replace("_", "")
    if len(number) > _MOST_FIGURES:
        raise UsageError(f"{what} {quoted(value)} is out of range; {remedy}")
    return Fraction(number), match["unit"]


def _factor(value: object, unit: str, table: Mapping[str, Fraction | int], what: str, remedy: str) -> Fraction | int:
    if unit not in table:
        raise UsageError(f"{what} {quoted(value)} has the unknown unit {quoted(unit)}; {remedy}")
    return table[unit]


def _refuse_negative(value: object, number: Fraction, what: str, remedy: str) -> None:
    if number < 0:
        raise UsageError(f"{what} {quoted(value)} is negative; {remedy}")


def _whole(value: object, size: Fraction) -> int:
    if size.denominator != 1:
        raise UsageError(f"size {quoted(value)} is not a whole number of bytes; {_SIZE_REMEDY}")
    return _in_range(value, size.numerator, "size", _SIZE_REMEDY)


def _in_range(value: object, number: int, what: str, remedy: str) -> int:
    """The number, if 63 bits hold it, as all that counts bytes and nanoseconds does."""
    if number >= 1 << 63:
        raise UsageError(f"{what} {quoted(value)} is out of range; {remedy}")
    return number
