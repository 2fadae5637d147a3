"""The directory of a sweep: rows as they come, the table at the end, and going on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from vmdedup.closing import Closing
from vmdedup.errors import UsageError, VmdedupError
from vmdedup.ours.lock import Lock
from vmdedup.result.directory import choose_output, json_bytes, write_reason, write_whole
from vmdedup.result.reading import read_document, read_lines
from vmdedup.result.sweep import COMPLETE, columns, frame_of
from vmdedup.result.tables import Row, Table, to_parquet

ABOUT: Final = "sweep.json"
ROWS: Final = "rows.jsonl"
TABLE: Final = "sweep.parquet"
_LOCK: Final = ".lock"
_REMEDY: Final = "name another directory with --output, or run the sweep that is there"


class SweepDirectory(Closing):
    """Rows by number, on disk as they come; a context manager."""

    def __init__(self, path: Path | None, about: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
        """path: a new one, or that of the same sweep, which goes on; None: a new one below runs/. about: what is run.

        kinds: of the axes' columns. UsageError: another sweep is there, or is being made, or it cannot be had.
        """
        self._about, self._kinds = about, kinds
        self.rows: dict[int, Row] = {}
        self._file: IO[bytes] | None = None
        goes_on = path is not None and (path / ABOUT).exists()
        self._new = None if goes_on else choose_output(f"{about['scenario']}-sweep", path, shared=True)
        self.path = self._new.path if self._new is not None else path or Path()
        self._lock = Lock(self.path / _LOCK)
        try:
            self._begin(goes_on)
        except BaseException:
            self.close()
            raise

    def _begin(self, goes_on: bool) -> None:
        if not self._lock.take():
            raise UsageError(f"{self.path} is being filled by another sweep; wait for it, or {_REMEDY}")
        try:
            if goes_on:
                self._take_over()
            else:
                write_whole(self.path, ABOUT, json_bytes(self._about))
            self._file = (self.path / ROWS).open("ab", buffering=0)
        except OSError as error:
            raise VmdedupError(write_reason(self.path, error)) from None

    def _take_over(self) -> None:
        """What is there already. UsageError: it is of another sweep, or damaged."""
        before = read_document(self.path / ABOUT)
        if other := [name for name in self._about if before.get(name) != self._about[name]]:
            raise UsageError(f"{self.path} holds another sweep ({', '.join(other)} differ); {_REMEDY}")
        place = self.path / ROWS
        if not place.exists():
            return
        for row in read_lines(place):
            self._check(row)
            self.rows[row["run"]] = row
        whole = b"".join(_line(row) for row in self.rows.values())
        write_whole(self.path, ROWS, whole)  # without the part of a line that a killed sweep may have left

    def _check(self, row: Mapping[str, Any]) -> None:
        kinds = columns(self._kinds)
        good = all(value is None or type(value) is kinds[name] for name, value in row.items() if name in kinds)
        if not good or row.keys() != kinds.keys() or row["run"] not in range(self._about["runs"]) or not row["ended"]:
            raise UsageError(f"{self.path / ROWS} has a row that is none of this sweep; {_REMEDY}")

    def forget_failed(self) -> int:
        """Have runs that failed be made again. Returns how many they are."""
        failed = [number for number, row in self.rows.items() if row["ended"] != COMPLETE]
        for number in failed:
            del self.rows[number]
        return len(failed)

    def keep(self, row: Row) -> None:
        """One more row, on disk. VmdedupError: it cannot be written."""
        assert self._file is not None
        self.rows[row["run"]] = row
        try:
            self._file.write(_line(row))
        except OSError as error:
            raise VmdedupError(write_reason(self.path, error)) from None

    def finish(self) -> Table:
        """Write the table of all rows so far. VmdedupError: it cannot be written."""
        frame = frame_of(self.rows.values(), self._kinds)
        try:
            write_whole(self.path, TABLE, to_parquet(frame))
        except OSError as error:
            raise VmdedupError(write_reason(self.path, error)) from None
        return frame

    def close(self) -> None:
        """Let go. A directory that we made, and in which there is no row, is gone afterwards."""
        if self._file is not None:
            self._file.close()
        if self._new is not None and not self.rows:
            for name in (ROWS, ABOUT):
                (self.path / name).unlink(missing_ok=True)
        if self._lock.descriptor >= 0:
            (self.path / _LOCK).unlink(missing_ok=True)
            self._lock.close()
        if self._new is not None:
            self._new.close()


def _line(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"
