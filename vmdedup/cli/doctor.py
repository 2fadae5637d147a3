"""vmdedup doctor: what this machine can do, and what keeps KSM from merging."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli.say import say_document

if TYPE_CHECKING:
    from vmdedup.doctor.finding import Finding
    from vmdedup.live.guests.accel import Probe

LACKING = 4

HELP = """Say what this machine can do, and why KSM merges nothing or little, each with what to do about it.

Nothing is changed. Exit status 4: something is missing that the purpose needs, 0: nothing is. The purpose is that
KSM merges what it could, unless --for names others: kernel (scripts and scenarios on the kernel's KSM), guests (under
QEMU and libvirt), ansible, images. With --pid or --domain, only KSM and that process are looked at.

\b
  vmdedup doctor
  sudo vmdedup doctor --domain web1
  vmdedup doctor --for guests --for images --json
  vmdedup doctor --deep
"""


class Purpose(StrEnum):
    """What is wanted of the machine."""

    merging = "merging"
    kernel = "kernel"
    guests = "guests"
    ansible = "ansible"
    images = "images"


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    pid: Annotated[int | None, typer.Option(help="Look at this process: why is its memory not merged?")] = None,
    domain: Annotated[str | None, typer.Option(help="The same for the guest of this libvirt domain.")] = None,
    purposes: Annotated[
        list[Purpose] | None, typer.Option("--for", help="What is wanted of the machine; may be repeated.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Boot a guest's kernel on KVM, too; up to half a minute.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.doctor import examine
    from vmdedup.doctor.machine import Machine
    from vmdedup.doctor.scene import look

    _check(pid, domain)
    wanted = sorted({purpose.value for purpose in purposes or ()}) or list(examine.DEFAULT_PURPOSES)
    machine = Machine(boot=_boot) if deep else Machine()
    findings = examine.examine(look(machine, pid, domain), wanted)
    if as_json:
        say_document(examine.document(findings, wanted))
    else:
        _show(findings, no_color)
    return LACKING if examine.problems(findings) else 0


def _check(pid: int | None, domain: str | None) -> None:
    from vmdedup.errors import UsageError

    if pid is not None and domain is not None:
        raise UsageError("--pid and --domain name one process each; give one of them")


def _boot() -> Probe:
    """Boot a boot sector on KVM, and the kernel of the image tiny if that is built."""
    from vmdedup.errors import VmdedupError
    from vmdedup.image.store import built
    from vmdedup.live.guests.accel import Probe, probe

    try:
        image = built("tiny")
    except VmdedupError:
        image = None
    found = probe(image)
    untried = " (no kernel was tried: vmdedup image build tiny)" if found.works and image is None else ""
    return Probe(found.works, f"{found.reason}{untried}")


_INDENT = 2  # columns before the status's word
_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}


def _show(findings: list[Finding], no_color: bool) -> None:
    """The text on stdout, in colour on a terminal."""
    from rich.text import Text

    from vmdedup.doctor.text import lines
    from vmdedup.report.console import console

    screen = console(no_color, to_stdout=True)
    for line in lines(findings):
        text, word = Text(line), line[_INDENT:].partition(" ")[0]
        if word in _COLOURS:
            text.stylize(_COLOURS[word], _INDENT, _INDENT + len(word))
        screen.print(text, soft_wrap=True, highlight=False)
