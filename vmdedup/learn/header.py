"""The header of a model's file: what it says, and its being read from a file that anybody may have written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import vmdedup
from vmdedup.learn.classes import CLASSES
from vmdedup.learn.forecast import Kind, Spread
from vmdedup.learn.life import TO
from vmdedup.learn.sharing import MOST_BOOTS, Sharing

if TYPE_CHECKING:
    from vmdedup.learn.model import Model

SCHEMA_VERSION: Final = 1
KIND: Final = "model of guests"
MOST_NUMBER: Final = 1 << 40
MOST_NAME: Final = 4096
MOST_NS: Final = 1 << 62

ArrayPlace = tuple[str, tuple[int, ...], int, int]  # name, shape, packed bytes, checksum
SaidLife = tuple[int, tuple[float, ...]]
_NEEDED: Final = {"layouts": 2, "slots": 1, "variants": 1, "levels": 1, "like": 1}  # arrays, and their dimensions
_POSSIBLE: Final = {**_NEEDED, "rates": 2, "packs": 1}


@dataclass(frozen=True)
class Said:
    """What a header says, all of it looked at."""

    seed: int
    kind: Kind
    boots: tuple[dict[str, Any], ...]
    lives: tuple[SaidLife | None, ...]
    arrays: list[ArrayPlace]


def header_of(model: Model) -> dict[str, Any]:
    """The document, without its arrays."""
    kind = model.kind
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "vmdedup": vmdedup.__version__,
        "seed": model.seed,
        "boots": [dict(boot) for boot in model.boots],
        "present": kind.present,
        "zero": kind.zero,
        "seen": {name: list(seen) for name, seen in zip(CLASSES, kind.sharing.seen, strict=True)},
        "spread": {"held": kind.spread.held, "shared": kind.spread.shared},
        "lives": [
            None if life is None else {"interval_ns": life.interval_ns, "to": dict(zip(TO, life.to, strict=True))}
            for life in model.lives
        ],
    }


def read_header(said: dict[str, Any]) -> Said:
    """What it says. KeyError, TypeError, ValueError: it is not what a model's header has."""
    if said["kind"] != KIND:
        raise ValueError("it is of another kind")
    if said["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another version of vmdedup wrote it")
    listed = said["boots"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_BOOTS:
        raise ValueError(f"it has no boots, or more than {MOST_BOOTS}")
    boots = tuple(_boot(each) for each in listed)
    seen = tuple(_counts(said["seen"][name], len(boots)) for name in CLASSES)
    present, zero = _share(said["present"], MOST_NUMBER), _share(said["zero"], MOST_NUMBER)
    spread = Spread(_share(said["spread"]["held"]), _share(said["spread"]["shared"]))
    lives = said["lives"]
    if not isinstance(lives, list) or len(lives) != len(boots):
        raise ValueError("it does not say of each boot how it changes")
    kind = Kind(present, zero, Sharing(seen), spread)
    return Said(_number(said["seed"], 1 << 64), kind, boots, tuple(map(_life, lives)), _places(said["arrays"]))


def _boot(said: Any) -> dict[str, Any]:
    texts = {name: _text(said[name]) for name in ("name", "format")}
    return {**texts, **{name: _number(said[name]) for name in ("present", "zero", "distinct")}}


def _counts(said: Any, boots: int) -> tuple[int, ...]:
    if not isinstance(said, list) or len(said) != boots:
        raise ValueError("contents are not counted by boots")
    return tuple(_number(each) for each in said)


def _life(said: Any) -> SaidLife | None:
    if said is None:
        return None
    interval = _number(said["interval_ns"], MOST_NS)
    if not interval:
        raise ValueError("steps without time between them")
    return interval, tuple(_share(said["to"][name]) for name in TO)


def _places(said: Any) -> list[ArrayPlace]:
    if not isinstance(said, list) or len(said) > len(_POSSIBLE):
        raise ValueError("it does not list its arrays")
    found = [_place(each) for each in said]
    names = [place[0] for place in found]
    if len(set(names)) != len(names) or not _NEEDED.keys() <= set(names):
        raise ValueError("an array is missing")
    return found


def _place(said: Any) -> ArrayPlace:
    name, shape = _text(said["name"]), said["shape"]
    if name not in _POSSIBLE or not isinstance(shape, list) or len(shape) != _POSSIBLE[name]:
        raise ValueError("an array is not described")
    return name, tuple(_number(each) for each in shape), _number(said["bytes"]), _number(said["crc"])


def _number(value: Any, most: int = MOST_NUMBER) -> int:
    if type(value) is not int or not 0 <= value < most:
        raise ValueError("what should be a number is none")
    return value


def _share(value: Any, most: float = 1.0) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise ValueError("what should be a share or a number of pages is none")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_NAME:
        raise ValueError("what should be a text is none")
    return value
