"""A model's file, byte by byte: a magic, the length of a JSON header, the header, then arrays, each packed by zlib.

    magic 24 bytes │ u32 length │ header │ array │ array │ …

The header has what is said of the kind, and of each array its name, type, shape, packed length and crc32. Contents, if
there are any, come last, so many pages in a pack; their packs' ends are an array. All numbers are little-endian.

Nothing in a file is taken on trust: how long things are is looked at before they are read or unpacked, what arrays name
must be there, and numbers of the header lie where they can.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.closing import Closing
from vmdedup.errors import UsageError
from vmdedup.inputs import open_input
from vmdedup.learn.header import Said, header_of, read_header
from vmdedup.learn.life import Life
from vmdedup.learn.model import Model
from vmdedup.outputs import MARK
from vmdedup.result.reading import parse_document
from vmdedup.shown import json_text
from vmdedup.units import PAGE_SIZE

MAGIC: Final = b"VMDDGST\n" + MARK.encode() + b"\n"
MOST_HEADER: Final = 1 << 20  # bytes
MOST_PAGES: Final = 1 << 30  # places of all boots together
PACK: Final = 64  # pages packed together
_LENGTH: Final = struct.Struct("<I")
_MOST_PACKED: Final = 1032  # times that zlib can make something smaller, at most
_LEVEL: Final = 6


def write_model(model: Model, file: IO[bytes]) -> None:
    """Write it into an open file."""
    arrays = _arrays(model)
    packs = [] if model.pages is None else _packs(model.pages)
    if model.pages is not None:
        arrays["packs"] = np.cumsum([len(pack) for pack in packs], dtype=np.uint64)
    packed = {name: zlib.compress(np.ascontiguousarray(array).tobytes(), _LEVEL) for name, array in arrays.items()}
    header = header_of(model)
    header["arrays"] = [
        {"name": name, "shape": list(array.shape), "bytes": len(packed[name]), "crc": zlib.crc32(packed[name])}
        for name, array in arrays.items()
    ]
    text = json_text(header).encode()
    file.write(MAGIC + _LENGTH.pack(len(text)) + text)
    for pack in (*packed.values(), *packs):
        file.write(pack)


def _arrays(model: Model) -> dict[str, NDArray[Any]]:
    lives = [life for life in model.lives if life is not None]
    made: dict[str, NDArray[Any]] = {
        "layouts": model.layouts,
        "slots": model.slots,
        "variants": model.variants,
        "levels": model.levels,
        "like": model.like,
    }
    if lives:
        made["rates"] = np.stack([life.rates for life in lives])
    return made


def _packs(pages: NDArray[np.uint8]) -> list[bytes]:
    return [zlib.compress(pages[at : at + PACK].tobytes(), _LEVEL) for at in range(0, len(pages), PACK)]


TYPES: Final = {
    "layouts": "<i4",
    "slots": "<i4",
    "variants": "<u1",
    "levels": "<u1",
    "like": "<i4",
    "rates": "<u1",
    "packs": "<u8",
}


class ModelFile(Closing):
    """An opened model. model: all but contents; those are read as they are asked for. UsageError: it is none."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._descriptor = open_input(path, error=UsageError)
        try:
            self._size = os.fstat(self._descriptor).st_size
            self._at = 0
            said = self._header()
            arrays = {name: self._array(name, shape, *rest) for name, shape, *rest in said.arrays}
            self._contents_at = self._at
            self._packs = arrays.pop("packs", None)
            self.model = self._checked(said, arrays)
        except BaseException:
            self.close()
            raise

    @property
    def has_contents(self) -> bool:
        """Whether contents of pages are in it."""
        return self._packs is not None

    def _refuse(self, why: str) -> UsageError:
        return UsageError(f"{self.path} is no model of guests, or damaged ({why}); learn it again with vmdedup learn")

    def _read(self, length: int) -> bytes:
        if length > self._size - self._at:
            raise self._refuse("it ends too early")
        content = os.pread(self._descriptor, length, self._at)
        if len(content) != length:
            raise self._refuse("it ends too early")
        self._at += length
        return content

    def _header(self) -> Said:
        if self._size < len(MAGIC) or self._read(len(MAGIC)) != MAGIC:
            raise self._refuse("it does not begin like one")
        length = _LENGTH.unpack(self._read(_LENGTH.size))[0]
        if length > MOST_HEADER:
            raise self._refuse("its header is too long")
        try:
            return read_header(parse_document(self._read(length), self.path))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._refuse(str(error)) from None

    def _array(self, name: str, shape: tuple[int, ...], packed: int, checksum: int) -> NDArray[Any]:
        kind = np.dtype(TYPES[name])
        size = kind.itemsize * int(np.prod(shape, dtype=object))
        if int(np.prod(shape, dtype=object)) > MOST_PAGES or size > _MOST_PACKED * packed + 64:
            raise self._refuse(f"{name} is said to be far too large")
        content = self._read(packed)
        if zlib.crc32(content) != checksum:
            raise self._refuse(f"{name} has another checksum")
        return np.frombuffer(self._unpacked(content, size), kind).reshape(shape)

    def _unpacked(self, content: bytes, size: int) -> bytes:
        unpacker = zlib.decompressobj()
        try:
            found = unpacker.decompress(content, size) if size else b""
            whole = len(found) == size and (not size or not unpacker.decompress(unpacker.unconsumed_tail, 1))
        except zlib.error:
            whole = False
        if not whole:
            raise self._refuse("an array cannot be unpacked")
        return found

    def _checked(self, said: Said, arrays: dict[str, NDArray[Any]]) -> Model:
        """The model, once all that its arrays name is there."""
        boots, contents = len(said.boots), len(arrays["slots"])
        layouts = arrays["layouts"]
        if layouts.shape[0] != boots or not layouts.shape[1]:
            raise self._refuse("it has not a layout for each boot")
        if any(len(arrays[name]) != contents for name in ("variants", "levels", "like")) or not contents:
            raise self._refuse("its arrays are not equally long")
        for name, least, most in (("layouts", -1, contents), ("slots", 0, contents), ("like", 0, contents)):
            if arrays[name].size and not least <= int(arrays[name].min()) <= int(arrays[name].max()) < most:
                raise self._refuse(f"{name} names what is not there")
        if int(arrays["levels"].max()) > 16:
            raise self._refuse("a page packs worse than not at all")
        if self._packs is not None:
            self._check_packs(contents)
        return Model(
            seed=said.seed,
            kind=said.kind,
            boots=said.boots,
            lives=self._lives(said, arrays.pop("rates", None), layouts.shape[1]),
            **arrays,
        )

    def _lives(self, said: Said, rates: NDArray[np.uint8] | None, places: int) -> tuple[Life | None, ...]:
        recorded = [each for each in said.lives if each is not None]
        if (rates is None) != (not recorded) or (rates is not None and rates.shape != (len(recorded), places)):
            raise self._refuse("it has not rates of change for each recorded boot")
        rows = iter(() if rates is None else rates)
        return tuple(None if each is None else Life(each[0], next(rows), each[1]) for each in said.lives)

    def _check_packs(self, contents: int) -> None:
        packs = self._packs
        assert packs is not None
        ends = packs.astype(np.int64)
        is_whole = len(ends) == -(-contents // PACK) and bool((np.diff(ends, prepend=0) > 0).all())
        if not is_whole or self._contents_at + int(ends[-1]) != self._size:
            raise self._refuse("its contents are not where they should be")

    def contents(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pages (n, 4096) of contents by number. UsageError: they are damaged."""
        assert self._packs is not None
        out = np.empty((len(numbers), PAGE_SIZE), np.uint8)
        packs = numbers // PACK
        for pack in np.unique(packs):
            rows = np.flatnonzero(packs == pack)
            out[rows] = self._pack(int(pack))[numbers[rows] - int(pack) * PACK]
        return out

    def _pack(self, pack: int) -> NDArray[np.uint8]:
        assert self._packs is not None
        first = int(self._packs[pack - 1]) if pack else 0
        content = os.pread(self._descriptor, int(self._packs[pack]) - first, self._contents_at + first)
        count = min(PACK, len(self.model.slots) - pack * PACK)
        return np.frombuffer(self._unpacked(content, count * PAGE_SIZE), np.uint8).reshape(count, PAGE_SIZE)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
