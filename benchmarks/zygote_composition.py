"""What phones hold, the recorded one and the emulated one, class by class."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vmdedup.guest.image import open_life
from vmdedup.guest.revived import RevivedGuest
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.host.layout import ANONYMOUS, FILES, GRAPHICS, STACK
from vmdedup.host.memory import Host
from vmdedup.papers.phones.trial import Phone
from vmdedup.policy.mobile.areas import Area, areas_of
from vmdedup.policy.mobile.similar import Bases
from vmdedup.policy.sharing import frame_of
from vmdedup.policy.work import Work
from vmdedup.scenario.load import find_source
from vmdedup.subpage.compression import compress
from vmdedup.subpage.delta import CUT_OFF, patch

SAMPLE = 1500  # pages of a class that are patched and packed
PROBES = 4
Entries = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Class:
    """pages: of the class. The rest are per cent of them, but for packed: bytes that LZO leaves of a page of its own.

    word: one word all over. equal: others of these pages are the same, one word left out. similar: words that differ
    from a page of the zygote are at most half a page.
    """

    name: str
    pages: int
    word: float
    equal: float
    similar: float
    packed: float

    @property
    def row(self) -> str:
        """In Markdown."""
        shares = " | ".join(f"{value:.1f}" for value in (self.word, self.equal, self.similar))
        return f"| {self.name} | {self.pages / 256:,.1f} | {shares} | {self.packed:,.0f} |"


def of_recording(path: Path) -> list[Class]:
    """At the last step."""
    image = ImageSpec(str(path), True, "phone")
    life = open_life(image)
    pages, times = life.pages, life.times
    life.close()
    host = Host.create(pages, mms=2)
    memory = host.add(pages, "phone")
    guest = RevivedGuest(GuestSpec("phone", pages, image=image), memory)
    guest.boot()
    guest.tick(times[-1] / 1e6 + 1)
    return _classes(host, memory.mm)


def of_scenario(name: str) -> list[Class]:
    """At the end of the emulated phone's scenario, nobody scanning."""
    given = tomllib.loads(find_source(name).text)
    group = given["guests"][0]
    phone = Phone(int(group["memory"].removesuffix("MiB")), 0, group["parameters"])
    host = Host.create(phone.mib * 256, mms=2)
    guest, mm = phone.make(host)
    for _ in range(int(given["duration"].removesuffix("s")) * 10):
        guest.tick(100)
    return _classes(host, mm)


def _classes(host: Host, mm: int) -> list[Class]:
    areas = list(areas_of(host, [mm]))
    bases = Bases(host, Work(), 1, PROBES)
    zygote = _entries(host, (area for area in areas if not area.owner and area.kind == ANONYMOUS))
    for entry, signature in zip(zygote.tolist(), bases.sign(zygote.tolist()), strict=True):
        bases.offer(entry, signature)
    apps = [area for area in areas if area.owner]
    found = [
        _class(host, bases, "zygote", zygote),
        _class(host, bases, "apps, anonymous", _entries(host, (a for a in apps if a.kind in (ANONYMOUS, STACK)))),
        _class(host, bases, "apps, graphics", _entries(host, (a for a in apps if a.kind == GRAPHICS))),
        _class(host, bases, "files", _entries(host, (a for a in areas if a.kind == FILES))),
    ]
    host.close()
    return [one for one in found if one.pages]


def _entries(host: Host, areas: Iterable[Area]) -> Entries:
    """Page table entries that have a frame."""
    numbers = [np.arange(area.first, area.first + area.pages) for area in areas]
    every = np.concatenate([np.zeros(0, np.int64), *numbers])
    return np.array([entry for entry in every.tolist() if frame_of(host.arrays, entry)], np.int64)


def _class(host: Host, bases: Bases, name: str, entries: Entries) -> Class:
    h, count = host.arrays, len(entries)
    frames = np.array([frame_of(h, entry) for entry in entries.tolist()], np.int64)
    words = h.words[frames]
    is_word = (words == words[:, :1]).all(axis=1)
    contents = [page.tobytes() for page in h.bytes[frames[~is_word]]]
    copies: dict[bytes, int] = {}
    for content in contents:
        copies[content] = copies.get(content, 0) + 1
    equal = sum(times for times in copies.values() if times > 1)
    own = np.flatnonzero(~is_word)
    drawn = own[np.linspace(0, len(own) - 1, min(SAMPLE, len(own))).astype(int)]
    some = entries[drawn].tolist()
    similar = 0
    for entry, signature in zip(some, bases.sign(some) if some else (), strict=True):
        page = h.bytes[frame_of(h, entry)].tobytes()
        others = (h.bytes[frame_of(h, other)].tobytes() for other in bases.candidates(signature) if other != entry)
        similar += any(len(patch(other, page, "words")) <= CUT_OFF for other in others)
    sizes = [len(compress(h.bytes[frame_of(h, entry)].tobytes(), "lzo")) for entry in some]
    share = 100.0 / max(1, count)
    packed = sum(sizes) / max(1, len(sizes))
    is_own = share * (count - int(is_word.sum()))
    return Class(name, count, share * int(is_word.sum()), share * equal, is_own * similar / max(1, len(some)), packed)
