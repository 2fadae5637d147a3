"""What `vmdedup scan` does once its arguments are known: scan, show progress, stop at Ctrl-C, print."""

from __future__ import annotations

import signal
import sys
import time

from vmdedup.scan.run import scan_dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vmdedup.dump.base import Dump
    from vmdedup.scan.result import ScanResult

INTERRUPTED = 130
PATIENCE = 2.0  # seconds without progress being shown
OFTEN = 0.2  # seconds between two updates
CLEAR = "\r\x1b[K"  # to the beginning of the line; clear it


def scan_and_show(
    dumps: Sequence[str | Dump], *, as_json: bool = False, quiet: bool = False, no_color: bool = False, **options: Any
) -> int:
    """Scan and print. options: as scan_dumps has them. Returns the exit status."""
    with _Interrupt() as interrupt, _Progress(quiet) as progress:
        result = scan_dumps(dumps, watch=progress, stop=interrupt, **options)
    if as_json:
        import json

        print(json.dumps(result.document, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        from vmdedup.report.scan import show

        show(result, no_color)
    return _say_partial(result) if result.partial else 0


def _say_partial(result: ScanResult) -> int:
    """Interrupted: how much the figures are of."""
    total = result.total
    sys.stdout.flush()
    read, present = total["read"], total["pages"] - total["absent"]
    missing = f"the figures are of {read} pages of {present}" if read < present else "--subpage is left out"
    print(f"vmdedup: interrupted: {missing}", file=sys.stderr)
    return INTERRUPTED


class _Interrupt:
    """Ctrl-C asks for the figures so far; a second one ends at once. Says, when called, whether it was pressed."""

    def __init__(self) -> None:
        self._pressed = False

    def __call__(self) -> bool:
        return self._pressed

    def _press(self, *_: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True

    def __enter__(self) -> _Interrupt:
        self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


class _Progress:
    """On a terminal, and once it has taken a while, how much has been read."""

    def __init__(self, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._next = time.monotonic() + PATIENCE

    def __call__(self, done: int, total: int, what: str = "read") -> None:
        if self._shown and (now := time.monotonic()) >= self._next:
            self._next = now + OFTEN
            text = f"{CLEAR}{what} {done:,} of {total:,} pages, {100 * done // max(1, total)} %"
            print(text, end="", file=sys.stderr, flush=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(CLEAR, end="", file=sys.stderr, flush=True)
