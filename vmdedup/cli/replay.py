"""vmdedup replay SCRIPT: play a KSM script on the emulator, on this machine's kernel, or on both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli.say import Progress, say
from vmdedup.replay.grammar import SHORT

if TYPE_CHECKING:
    from vmdedup.replay.machine import Machine
    from vmdedup.replay.script import Script

DIFFERENT = 3
DESCRIPTORS = 2  # that a process of a script takes here while it lives, on the kernel
Watch = Callable[[int], None]

HELP = f"""Play a KSM script and print its lines of JSON, and nothing else, on stdout.

With --on both, the first line that differs is shown side by side on stderr, with exit status 3. The kernel's
side needs root and an idle KSM. --kernel has the emulator do as another version of Linux does, 6.18 unless it is said.

\b
  vmdedup replay script.ksm
  vmdedup replay script.ksm --kernel 6.1
  vmdedup replay script.ksm --on kernel
  vmdedup replay script.ksm --on both
  make-script | vmdedup replay -

{SHORT}
"""


class On(StrEnum):
    """What a script is played on."""

    emulator = "emulator"
    kernel = "kernel"
    both = "both"


def replay(
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="A KSM script; - for standard input.")],
    on: Annotated[On, typer.Option("--on", help="Where to play it.")] = On.emulator,
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="VERSION", help="Version of Linux that is emulated.")
    ] = None,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError
    from vmdedup.replay.script import parse

    if kernel is not None and on is On.kernel:
        raise UsageError("--kernel says what the emulator does as; leave it out with --on kernel")
    parsed = parse(script)
    with ExitStack() as stack:
        watch = stack.enter_context(_progress(parsed))
        machines = [stack.enter_context(_machine(name, parsed, kernel)) for name in _names(on)]
        if len(machines) == 1:
            return _play(parsed, machines[0], watch)
        return _compare(parsed, machines[0], machines[1], watch)


def _names(on: On) -> list[On]:
    return [On.emulator, On.kernel] if on is On.both else [on]


def _machine(on: On, script: Script, kernel: str | None) -> AbstractContextManager[Machine]:
    """The machine of that name, large enough for the script. kernel: the version that is emulated."""
    if on is On.emulator:
        from vmdedup.replay.emulated import emulated

        return emulated(script, kernel)
    from vmdedup.limits import need_descriptors
    from vmdedup.live.scripts.kernel import KernelMachine

    need_descriptors(DESCRIPTORS * script.most_alive(), f"{script.most_alive()} processes")
    return KernelMachine()


@contextmanager
def _progress(script: Script) -> Iterator[Watch]:
    """On a terminal, and once it has taken a while, which line of the script is being played.

    Where stdout is a terminal, too, the lines that are printed there show it.
    """
    last = script.steps[-1].line if script.steps else 0
    with Progress(quiet=sys.stdout.isatty()) as progress:
        yield lambda line: progress.show(f"line {line} of {last}")


def _play(script: Script, machine: Machine, watch: Watch) -> int:
    from vmdedup.replay.play import play

    _print(play(script, machine, watch))
    return 0


def _compare(script: Script, emulator: Machine, kernel: Machine, watch: Watch) -> int:
    """Print what both sides agree on, then the first difference, if there is one."""
    from vmdedup.replay.compare import Comparison, render
    from vmdedup.replay.play import play

    comparison = Comparison(play(script, emulator, watch), play(script, kernel))
    _print(iter(comparison))
    if comparison.difference is None:
        return 0
    step = script.line(comparison.difference.line)
    say(render(comparison.difference, step=step), err=True)
    return DIFFERENT


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        say(line)
        sys.stdout.flush()
