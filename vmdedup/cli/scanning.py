"""What `vmdedup scan` does once its arguments are known: scan, show progress, stop at Ctrl-C, print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vmdedup.cli.say import Progress, say_document, warn
from vmdedup.scan.run import scan_dumps
from vmdedup.signals import Interrupt, interrupted_status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vmdedup.dump.base import Dump
    from vmdedup.scan.result import ScanResult


def scan_and_show(
    dumps: Sequence[str | Dump], *, as_json: bool = False, quiet: bool = False, no_color: bool = False, **options: Any
) -> int:
    """Scan and print. options: as scan_dumps has them. Returns the exit status."""
    with Interrupt() as interrupt, Progress(quiet) as progress:

        def watch(done: int, total: int, what: str = "read") -> None:
            progress.show(f"{what} {done:,} of {total:,} pages, {100 * done // max(1, total)} %")

        result = scan_dumps(dumps, watch=watch, stop=interrupt, **options)
    if as_json:
        say_document(result.document)
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
    warn(f"interrupted: {missing}")
    return interrupted_status()
