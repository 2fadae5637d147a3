"""The vmdedup command. One command a file; a command imports what it needs when it is called.

Exit status: 0 done; 1 it failed; 2 what was asked for cannot be meant; 3 two machines differ; 4 this machine
lacks something (root, an idle KSM); 130 interrupted (143 by SIGTERM, 129 by SIGHUP), with the results so far kept.
Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from vmdedup.cli import quick
from vmdedup.cli.say import say, warn
from vmdedup.cli.streams import abandon_stdout, open_streams
from vmdedup.errors import OutputError, VmdedupError, require_linux
from vmdedup.signals import Interrupted, ended_by_signals, interrupted_status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_HARMLESS = frozenset({"--help", "--version"})  # what any system can answer
GONE = 128 + 13  # as if ended by SIGPIPE
TRACEBACK = "VMDEDUP_TRACEBACK"  # a variable of the environment


def main() -> NoReturn:
    """Run the command that sys.argv names, and exit with its status."""
    sys.exit(ended_by_signals(_main))


def _main() -> int:
    open_streams()
    return run_command(sys.argv[1:])


def run_command(arguments: Sequence[str]) -> int:
    """Run a command. Returns its exit status; what goes wrong is one line on stderr."""
    try:
        if not _HARMLESS.intersection(arguments):
            require_linux()
        return _run(arguments)
    except OutputError as error:
        abandon_stdout()
        return complain(str(error), error.exit_status)
    except VmdedupError as error:
        return complain(str(error), error.exit_status)
    except (KeyboardInterrupt, Interrupted):
        return complain("interrupted", interrupted_status())
    except BrokenPipeError:
        abandon_stdout()  # the reader of our output has gone: stop quietly, as other programs do
        return GONE
    except OSError as error:
        return complain(f"{error.filename or 'the system'}: {error.strerror}", 1)
    except MemoryError:
        return complain("there is not enough memory for this; free some, or ask for less", 1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            return _break_down(error)
        return _refuse_arguments(error, str(error.format_message()))


def _run(arguments: Sequence[str]) -> int:
    status = quick.run(arguments)
    if status is None:
        from vmdedup.cli.app import app

        status = app(list(arguments), prog_name="vmdedup", standalone_mode=False)
    sys.stdout.flush()
    return status if isinstance(status, int) else 0


def complain(text: str, status: int) -> int:
    """One line on stderr. Returns the status."""
    warn(text)
    return status


def _break_down(error: Exception) -> int:
    """A mistake of ours: one line that can be reported, and all of it for whoever mends it."""
    from vmdedup.breakdown import in_a_line

    if os.environ.get(TRACEBACK):
        raise error
    return complain(f"this is a mistake of vmdedup's: {in_a_line(error)}; report it; {TRACEBACK}=1 shows more", 1)


def _refuse_arguments(error: Exception, message: str) -> int:
    """What typer has against the arguments; with no arguments at all, its message is the whole help."""
    status: int = getattr(error, "exit_code", 2)
    if message.startswith("Usage:"):
        say(message, err=True)
        return status
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "vmdedup"
    return complain(f"{message.rstrip('.')}; see {command} --help", status)
