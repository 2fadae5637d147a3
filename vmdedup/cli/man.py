"""vmdedup man: the man pages of all commands, in a folder where man(1) finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmdedup.cli.say import say

HELP = """Write man pages, one a command, made from what --help says.

Without DIR into ~/.local/share/man, where man(1) looks if ~/.local/bin is in PATH. A page that vmdedup has not made is
not replaced.

\b
  vmdedup man && man vmdedup-exec
  sudo vmdedup man /usr/local/share/man
"""


def man(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A folder of man pages.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.cli.app import app
    from vmdedup.cli.manual import pages
    from vmdedup.outputs import MARK, Output, make_folder

    place = (folder or Path.home() / ".local/share/man") / "man1"
    make_folder(place)
    count = 0
    for name, text in pages(typer.main.get_command(app)):
        with Output(place / name, force) as output:
            output.write_bytes(f'.\\" {MARK}\n{text}'.encode())
        count += 1
    say(f"{count} man pages are in {place}")
    return 0
