"""The vmdedup command. One command a file; a command imports what it needs when it is called.

Exit status: 0 done; 1 it failed; 2 what was asked for cannot be meant; 3 two machines differ; 4 this machine
lacks something (root, an idle KSM); 130 interrupted, with the results so far kept. Results go to stdout,
everything else to stderr.
"""

from __future__ import annotations

import os
import sys

from vmdedup.cli import quick
from vmdedup.errors import VmdedupError, require_linux

TYPE_CHECKING = False  # as typing's, whose import takes more memory than a small scan
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

INTERRUPTED = 130
_HARMLESS = frozenset({"--help", "--version"})  # what any system can answer


def main() -> NoReturn:
    """Run the command that sys.argv names, and exit with its status."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run a command. Returns its exit status; what goes wrong is one line on stderr."""
    try:
        if not _HARMLESS.intersection(arguments):
            require_linux()
        status = quick.run(arguments)
        if status is not None:
            return status
        from vmdedup.cli.app import app

        status = app(list(arguments), prog_name="vmdedup", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except VmdedupError as error:
        return complain(str(error), error.exit_status)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _stop_writing()
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _refuse_arguments(error, str(error.format_message()))


def complain(text: str, status: int) -> int:
    """One line on stderr. Returns the status."""
    print(f"vmdedup: {' '.join(text.split())}", file=sys.stderr)
    return status


def _refuse_arguments(error: Exception, message: str) -> int:
    """What typer has against the arguments; with no arguments at all, its message is the whole help."""
    status: int = getattr(error, "exit_code", 2)
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
        return status
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "vmdedup"
    return complain(f"{message.rstrip('.')}; see {command} --help", status)


def _stop_writing() -> int:
    """The reader of our output has gone: stop quietly, as other programs do."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as if ended by SIGPIPE
