"""Plain commands that are run without typer, which would take longer, and more memory, than their work.

What is not understood here is left to typer, which has the same command with all its options.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int | None:
    """The exit status of `scan [--json] DUMP…`; None: it is another command, or has other options."""
    if len(arguments) < 2 or arguments[0] != "scan" or "VMDEDUP_SALT" in os.environ:
        return None
    names = [argument for argument in arguments[1:] if argument != "--json"]
    if not names or any(name.startswith("-") and name != "-" for name in names):
        return None
    from vmdedup.cli.scanning import scan_and_show

    return scan_and_show(names, as_json="--json" in arguments)
