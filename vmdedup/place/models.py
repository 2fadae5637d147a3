"""Guests made from a model of their kind (vmdedup learn), as a scenario makes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from vmdedup.guest.modelled import ModelledLife
from vmdedup.guest.seeds import split_seed
from vmdedup.guest.spec import ImageSpec
from vmdedup.learn.file import MAGIC
from vmdedup.place.contents import distinct
from vmdedup.place.fleet import Guest
from vmdedup.scan.fingerprint import Hasher

SEED: Final = 1
_COUNT: Final = re.compile(r"(?P<file>.+)\*(?P<count>[1-9]\d{0,3})\Z")


def split_count(name: str) -> tuple[str, int]:
    """FILE*N as file and number; a name without is one."""
    found = _COUNT.match(name)
    return (found["file"], int(found["count"])) if found else (name, 1)


def is_model(file: str) -> bool:
    """Whether a file begins like a model."""
    try:
        with open(file, "rb") as opened:
            return opened.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # pid:N, domain:NAME, or a folder


def modelled(name: str, times: int) -> Iterator[Guest]:
    """FILE*N: N guests of a model's kind. UsageError: the file is no model."""
    file, count = split_count(name)
    hasher = Hasher()
    for number in range(count):
        life = ModelledLife(ImageSpec(file, guest=number, model=True), split_seed(SEED, number))
        try:
            made = [hasher.pages(_content(pages)) for _, pages in life.changes(0) if pages is not None]
        finally:
            life.close()
        words = np.frombuffer(b"".join(page for block in made for page in block), "<u8")[::2]
        yield Guest(f"{file}-{number}" if count > 1 else file, len(words), distinct(words, times), "", times)


def _content(pages: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> memoryview:
    return np.ascontiguousarray(pages).reshape(-1).data
