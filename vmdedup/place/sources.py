"""Guests read from files: all that `vmdedup scan` reads, UMass's memory traces, and models of kinds of guests.

A file of several dumps (an export) is a host, and its dumps are the guests that it has now. Of fingerprints 64 bits are
kept: that any two of a TiB of pages have them alike by chance has a probability of 2**-9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.place.contents import distinct
from vmdedup.place.fleet import Guest
from vmdedup.place.models import is_model, modelled, split_count
from vmdedup.place.umass import is_trace, read_trace
from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.opening import close_sources, listed, open_sources, refuse_twins
from vmdedup.scan.run import agreed_zero
from vmdedup.scan.source import Source

Watch = Callable[[int, int], None]  # told how many guests of how many are read


def read_guests(names: Sequence[str], salt: str | None, times: int, watch: Watch) -> list[Guest]:
    """All guests of these files, in their order. times: keep one content of so many, chosen by its fingerprint.

    UsageError: one cannot be read, or they cannot be compared with each other.
    """
    files = [file for name in names for file in _files(name)]
    refuse_twins([split_count(file)[0] for file in files])
    traces = [file for file in files if is_trace(file)]
    if traces and len(traces) < len(files):
        other = next(file for file in files if file not in traces)
        raise UsageError(f"{other} and {traces[0]} cannot be compared: traces have other hashes; place them apart")
    if traces:
        return [read_trace(file, times) for file in traces]
    return list(_read(files, salt, times, watch))


def _files(name: str) -> list[str]:
    """A name as files; FILE*N stays what it is."""
    return [name] if split_count(name)[1] > 1 else listed(name)


def _read(files: Sequence[str], salt: str | None, times: int, watch: Watch) -> Iterator[Guest]:
    """Dumps, exports and models, once it is known that they can be compared."""
    models = [file for file in files if is_model(split_count(file)[0])]
    if missing := next((file for file in files if split_count(file)[1] > 1 and file not in models), None):
        raise UsageError(f"{missing}: *N is of models (vmdedup learn -o web.guest), and this is none")
    hasher = Hasher(salt)
    with ExitStack() as closing:
        opened: dict[str, list[Source]] = {}
        for file in files:
            if file not in models:
                opened[file] = open_sources([file])
                closing.callback(close_sources, opened[file])
        sources = [source for some in opened.values() for source in some]
        agreed_zero(sources, hasher)
        _require_plain(models, sources, hasher)
        names, done = [source.name for source in sources], 0
        for file in files:
            for guest in (
                modelled(file, times) if file in models else _scanned(file, opened[file], hasher, times, names)
            ):
                yield guest
                watch(done := done + 1, max(done, len(sources) + len(models)))


def _require_plain(models: Sequence[str], sources: Sequence[Source], hasher: Hasher) -> None:
    """UsageError: there are models beside salted fingerprints."""
    salted = next((source for source in sources if (source.salt_id or hasher.salt_id) is not None), None)
    if models and salted is not None:
        raise UsageError(f"{models[0]} and {salted.full_name} cannot be compared: its fingerprints are salted")


def _scanned(file: str, sources: Sequence[Source], hasher: Hasher, times: int, names: Sequence[str]) -> Iterator[Guest]:
    for source in sources:
        name = source.full_name if names.count(source.name) > 1 else source.name
        host = file if len(sources) > 1 else ""
        yield Guest(name, source.present, _contents(source, hasher, times), host, times)


def _contents(source: Source, hasher: Hasher, times: int) -> NDArray[np.uint64]:
    """The distinct contents of a dump, a piece at a time."""
    kept = [np.zeros(0, np.uint64)]
    for piece in source.pieces():
        words = np.frombuffer(b"".join(piece.fingerprints(hasher)), "<u8")[::2]
        kept.append(distinct(words, times))
    return np.unique(np.concatenate(kept))
