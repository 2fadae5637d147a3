"""A whole scan: open, read, count, describe."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from vmdedup.errors import UsageError
from vmdedup.scan.counting import tally
from vmdedup.scan.fingerprint import Hasher, random_salt
from vmdedup.scan.opening import close_sources, listed, open_sources
from vmdedup.scan.places import most_frequent
from vmdedup.scan.reading import Reading
from vmdedup.scan.result import ScanResult, document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vmdedup.dump.base import Dump
    from vmdedup.outputs import Output
    from vmdedup.scan.frames import Frames
    from vmdedup.scan.reading import Stop, Watch
    from vmdedup.scan.similar import Similar
    from vmdedup.scan.source import Source
    from vmdedup.scan.stream import Stream

MEMORY_LIMIT = 1 << 16
TOP = 10


def scan_dumps(
    dumps: Iterable[str | Path | Dump],
    *,
    top: int = TOP,
    similar: Similar | None = None,
    salt: str | None = None,
    hashes_only: Path | None = None,
    force: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
    watch: Watch = lambda done, total: None,
    stop: Stop = lambda: False,
    host: str = "",
) -> ScanResult:
    """What these dumps hold, each and together.

    dumps: what open_dump takes, folders of it, "-" for standard input, files of salted fingerprints, opened dumps
    (which are closed). top: how many of the most frequent contents are described. similar: what to look for beyond
    equal pages. hashes_only: write salted fingerprints there; force: whatever stands there. salt: else one that nobody
    knows is made up. memory_limit: bytes of fingerprints in memory, more go to a temporary file. threads: None chooses.
    watch(done, total): called as pages are read. stop: asked as pages are read; once it says True, the figures are of
    what was read. host: the machine whose dumps they are, to be put before their names. DumpError: a dump is damaged.
    """
    names: list[str | Dump] = []
    for dump in dumps:
        names += listed(str(dump)) if isinstance(dump, str | PathLike) else [dump]
    if hashes_only is None:
        return _scan(names, None, top, similar, salt, memory_limit, threads, watch, stop, host)
    from vmdedup.outputs import Output

    read = [("/dev/stdin" if dump == "-" else dump) if isinstance(dump, str) else dump.name for dump in names]
    with Output(hashes_only, force, read) as export:
        return _scan(names, export, top, similar, salt or random_salt(), memory_limit, threads, watch, stop, host)


def _scan(
    names: Sequence[str | Dump],
    export: Output | None,
    top: int,
    similar: Similar | None,
    salt: str | None,
    memory_limit: int,
    threads: int | None,
    watch: Watch,
    stop: Stop,
    host: str,
) -> ScanResult:
    sources = open_sources(names, stop)
    for source in sources if host else ():
        source.name = f"{host}:{source.name}"
    reading: Reading | None = None
    try:
        hasher = Hasher(salt)
        zero = agreed_zero(sources, hasher)
        if export is not None and any(not source.has_contents for source in sources):
            raise UsageError("--hashes-only is of dumps; exported hashes need not be exported again")
        reading = Reading(sources, hasher, memory_limit, zero)
        reading.read(threads, watch, stop)
        counted = tally(reading.parts, top, halves=threads is None and reading.can_halve())
        frequent = most_frequent(counted, zero, reading.stream, sources, hasher)
        frames = _frames(sources, reading.stream)
        found = document(sources, counted, reading.interrupted, _salt_id(sources, hasher), frequent, frames)
        if export is not None:
            from vmdedup.scan.export import write_export

            write_export(export, sources, reading.stream, hasher)
        if similar is not None and not reading.interrupted:
            found["subpage"] = similar.look(sources, reading.stream, hasher, watch, stop)
            found["partial"] = found["subpage"] is None
        return ScanResult(found)
    finally:
        close_sources(sources)
        if reading is not None:
            reading.close()


def agreed_zero(sources: Sequence[Source], hasher: Hasher) -> bytes:
    """The fingerprint of zeros. UsageError: not all fingerprints are made alike, so they cannot be compared."""
    made = [source for source in sources if not source.has_contents]
    if not made:
        return hasher.zero
    for source in sources:
        salt_id = hasher.salt_id if source.has_contents else source.salt_id
        if salt_id != made[0].salt_id:
            one, two = made[0].full_name, source.full_name
            remedy = "export both with the same --salt" if not source.has_contents else "give the export's --salt"
            raise UsageError(f"{two} and {one} cannot be compared: their fingerprints have different salts; {remedy}")
    return next((source.zero for source in made if source.zero is not None), hasher.zero)


def _frames(sources: Sequence[Source], stream: Stream) -> Frames | None:
    """The frames of live processes, if there are any."""
    if not any(source.is_live for source in sources):
        return None
    from vmdedup.scan.frames import Frames

    return Frames(sources, stream)


def _salt_id(sources: Sequence[Source], hasher: Hasher) -> str | None:
    return next((source.salt_id for source in sources if not source.has_contents), hasher.salt_id)
