"""vmdedup replay SCRIPT: play a KSM script on the emulator, on this machine's kernel, on others, or on several."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli.places import machine, places
from vmdedup.cli.say import Progress, say
from vmdedup.replay.grammar import SHORT

if TYPE_CHECKING:
    from vmdedup.replay.machine import Machine
    from vmdedup.replay.script import Script

DIFFERENT = 3
Watch = Callable[[int], None]

HELP = f"""Play a KSM script and print its lines of JSON, and nothing else, on stdout.

--on names where: emulator, or emulator:VERSION of Linux; kernel, this machine's own, which needs root and an idle KSM;
vm:VERSION, a real kernel in a throw-away QEMU guest (vmdedup kernel fetch VERSION), or vm:PATH/bzImage, one of your
own, which need neither root nor KVM. Of several, with commas between, the first line that differs is shown side by
side on stderr, with exit status 3; both is emulator,kernel. --kernel is the version of the emulator, 6.18 else.

\b
  vmdedup replay script.ksm
  vmdedup replay script.ksm --kernel 6.1
  vmdedup replay script.ksm --on vm:7.2
  vmdedup replay script.ksm --on emulator:6.1,vm:6.1
  vmdedup replay script.ksm --on vm:6.18,vm:./bzImage
  vmdedup replay script.ksm --on both
  make-script | vmdedup replay -

{SHORT}
"""


def replay(
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="A KSM script; - for standard input.")],
    on: Annotated[str, typer.Option("--on", metavar="PLACE[,PLACE…]", help="Where to play it.")] = "emulator",
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="VERSION", help="Version of Linux that is emulated.")
    ] = None,
) -> int:
    """Returns the exit status."""
    from vmdedup.replay.script import parse

    named = places(on, kernel)
    parsed = parse(script)
    with ExitStack() as stack:
        watch = stack.enter_context(_progress(parsed))
        machines = [stack.enter_context(machine(name, parsed)) for name in named]
        if len(machines) == 1:
            return _play(parsed, machines[0], watch)
        return _compare(parsed, dict(zip(named, machines, strict=True)), watch)


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


def _compare(script: Script, machines: Mapping[str, Machine], watch: Watch) -> int:
    """Print what all agree on, then the first difference, if there is one."""
    from vmdedup.replay.compare import Comparison, render
    from vmdedup.replay.play import play

    first, *others = machines.values()
    comparison = Comparison(play(script, first, watch), *(play(script, other) for other in others))
    _print(iter(comparison))
    if comparison.difference is None:
        return 0
    step = script.line(comparison.difference.line)
    say(render(comparison.difference, list(machines), step), err=True)
    return DIFFERENT


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        say(line)
        sys.stdout.flush()
