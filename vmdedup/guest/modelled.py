"""A guest made from a model of its kind: laid out as one of the boots, with contents made up, and changes as learnt.

Which content stands where is the boot's; which bytes that are is made from keys. A content that all guests share has
its key from the model, one that is a guest's own from the guest's seed, and of others the guest's seed draws one of
their variants (learn.variants). Bytes are as compressible as they were, and pages that were alike are so here. With
contents in the model, shared pages are those, and own ones the same but for eight bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Region
from vmdedup.guest.content import random_pages
from vmdedup.guest.life import Change, Life
from vmdedup.guest.seeds import Words, fractions, keys, mix, split_seed
from vmdedup.learn.boot import ABSENT, ZERO
from vmdedup.learn.classes import LEVELS
from vmdedup.learn.file import ModelFile
from vmdedup.learn.life import MOST_RATE, TO
from vmdedup.learn.variants import OWN
from vmdedup.recording.digest import memory_digest, page_digests
from vmdedup.recording.places import Places
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.content import Pages
    from vmdedup.guest.index import Numbers
    from vmdedup.guest.spec import ImageSpec
    from vmdedup.recording.digest import Digests

_BLOCK: Final = 256  # pages made at once
_WORDS: Final = PAGE_SIZE // 8
_OWN_WORDS: Final = 8  # by which a page differs from those that it is like
_UNTOUCHED: Final = np.uint64(0)  # the key of a page that is as the model holds it
_LONGEST_NS: Final = 1 << 62


class ModelledLife(Life):
    """The steps of a guest that there never was. seed: its own. Step after step; going back begins anew."""

    times: Sequence[int]

    def __init__(self, spec: ImageSpec, seed: int) -> None:
        assert isinstance(spec.guest, int)
        self._file = ModelFile(spec.path)
        self._model = model = self._file.model
        boot = spec.guest % len(model.boots)
        self.name = f"{spec.path} (guest {spec.guest}, laid out as {model.boots[boot]['name']})"
        self.places = Places([Region("model", 0, model.places)])
        self._layout = model.layouts[boot]
        self._life = model.lives[boot] or model.life
        self.times = (0,) if self._life is None else range(0, _LONGEST_NS, self._life.interval_ns)
        self._seed = seed
        self._begin()

    def _begin(self) -> None:
        """Step 0: of each place, the content that it is made like, and its key."""
        self._step = 0
        self._numbers = self._layout.copy()
        self._keys: Words = np.zeros(len(self._numbers), np.uint64)
        held = np.flatnonzero(self._numbers > ZERO)
        self._numbers[held], self._keys[held] = self._drawn(self._numbers[held])

    def _drawn(self, contents: NDArray[np.int32]) -> tuple[NDArray[np.int32], Words]:
        """Of contents of the layout: the content that each is made like here, and its key."""
        model = self._model
        slots, of = model.slots[contents], model.variants[contents]
        shared = keys(split_seed(model.seed, "shared"), contents)
        if self._file.has_contents:
            shared[:] = _UNTOUCHED
        own = keys(split_seed(self._seed, "own"), contents)
        draw = (fractions(keys(split_seed(self._seed, "variant"), slots)) * of).astype(np.int64)
        variant = keys(split_seed(model.seed, "variant"), slots.astype(np.int64) * 256 + draw)
        is_one_of_several = of > 1
        key = np.where(of == OWN, own, np.where(is_one_of_several, variant, shared))
        return np.where(is_one_of_several, slots, contents), key

    # Steps

    def changes(self, step: int) -> Iterator[Change]:
        """All that is there, at step 0; else what changes."""
        if step:
            self._reach(step - 1)
            places = self._advance()
        else:
            self._begin()
            places = np.flatnonzero(self._numbers != ABSENT)
        gone = places[self._numbers[places] == ABSENT]
        if len(gone):
            yield gone, None
        held = places[self._numbers[places] != ABSENT]
        for first in range(0, len(held), _BLOCK):
            yield held[first : first + _BLOCK], self._pages(held[first : first + _BLOCK])

    def _reach(self, step: int) -> None:
        if step < self._step:
            self._begin()
        while self._step < step:
            self._advance()

    def _advance(self) -> Numbers:
        """One step more. Returns the places that change."""
        self._step += 1
        if self._life is None:
            return np.zeros(0, np.int64)
        below = split_seed(self._seed, "changes", self._step)
        chance = fractions(keys(below, np.arange(len(self._numbers))))
        places = np.flatnonzero(chance * MOST_RATE < self._life.rates)
        edges = np.cumsum(self._life.to)[:-1]
        which = np.searchsorted(edges, fractions(keys(split_seed(below, "to"), places)), side="right")
        others = np.flatnonzero(self._layout > ZERO)
        other = others[(fractions(keys(split_seed(below, "from"), places)) * len(others)).astype(np.int64)]
        self._make_new(places, which == TO.index("new"), other, below)
        elsewhere = which == TO.index("elsewhere")
        copied = self._numbers[other[elsewhere]], self._keys[other[elsewhere]]
        self._numbers[places[elsewhere]], self._keys[places[elsewhere]] = copied
        for to, number in (("zero", ZERO), ("absent", ABSENT)):
            self._numbers[places[which == TO.index(to)]] = number
        return places

    def _make_new(self, places: Numbers, chosen: NDArray[np.bool_], other: Numbers, below: int) -> None:
        """Give places new contents of their own, as compressible as before, or as some other place's."""
        new = places[chosen]
        before = self._numbers[new]
        self._numbers[new] = np.where(before > ZERO, before, self._layout[other[chosen]])
        self._keys[new] = keys(split_seed(below, "new"), new)

    # What is there

    def present(self, step: int) -> NDArray[np.bool_]:
        """Places that hold something."""
        self._reach(step)
        there: NDArray[np.bool_] = np.not_equal(self._numbers, ABSENT)
        return there

    def count(self, step: int) -> int:
        """How many do."""
        return int(self.present(step).sum())

    def digest(self, step: int) -> str:
        """Makes all pages once more."""
        return memory_digest(self.places, self.present(step), self._digests)

    def _digests(self, places: Numbers) -> Digests:
        parts = [page_digests(self._pages(places[at : at + _BLOCK])) for at in range(0, len(places), _BLOCK)]
        return np.concatenate(parts)

    def _pages(self, places: Numbers) -> Pages:
        """What these places hold, (n, 4096)."""
        numbers, page_keys = self._numbers[places], self._keys[places]
        held = np.flatnonzero(numbers > ZERO)
        out = np.zeros((len(places), PAGE_SIZE), np.uint8)
        if len(held):
            make = self._kept if self._file.has_contents else self._made_up
            out[held] = make(numbers[held], page_keys[held])
        return out

    def _made_up(self, numbers: NDArray[np.int32], page_keys: Words) -> Pages:
        """From keys alone."""
        groups = self._model.like[numbers]
        bases = np.where(groups > 0, keys(split_seed(self._model.seed, "like"), groups), page_keys)
        return made_pages(page_keys, bases, self._model.levels[numbers])

    def _kept(self, numbers: NDArray[np.int32], page_keys: Words) -> Pages:
        """From the contents of the model: own pages differ in one word."""
        pages = self._file.contents(numbers.astype(np.int64))
        words = pages.view(np.uint64)
        touched = np.flatnonzero(page_keys != _UNTOUCHED)
        words[touched, (page_keys[touched] % np.uint64(_WORDS)).astype(np.int64)] ^= page_keys[touched]
        return pages

    def close(self) -> None:
        """Close the model."""
        self._file.close()


def made_pages(page_keys: Words, bases: Words, levels: NDArray[np.uint8]) -> Pages:
    """A page for each key, (n, 4096): random as far as it does not pack, then one word again and again.

    bases: keys of what each is like; where it is another than its own, the page differs from that in 64 bytes.
    levels: packed size, in sixteenths.
    """
    words = random_pages(bases).view(np.uint64)
    random = levels.astype(np.int64) * (_WORDS // LEVELS)
    np.copyto(words, mix(bases)[:, None], where=np.arange(_WORDS) >= random[:, None])
    rows = np.flatnonzero(bases != page_keys)
    if len(rows):
        first = (page_keys[rows] % np.uint64(_WORDS // _OWN_WORDS)).astype(np.int64) * _OWN_WORDS
        own = random_pages(page_keys[rows]).view(np.uint64)[:, :_OWN_WORDS]
        words[rows[:, None], first[:, None] + np.arange(_OWN_WORDS)] = own
    return words.view(np.uint8)
