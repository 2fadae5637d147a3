"""vmdedup live run | verify | list | remove: real guests under QEMU and libvirt, on the kernel's own KSM."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli import domain, measure
from vmdedup.cli.say import say, say_document

if TYPE_CHECKING:
    from vmdedup.scenario.model import Scenario

app = typer.Typer(
    help="Real guests under QEMU and libvirt, merged by this machine's own ksmd. Needs root.\n\n\b\n"
    "  vmdedup live run webdb\n"
    "  vmdedup live run twins --direct\n"
    "  vmdedup live verify twins\n"
    "  vmdedup live list\n"
    "  vmdedup live remove --all",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SCHEMA_VERSION = 1


class Accel(StrEnum):
    """Who runs the guests' processors; auto: KVM where it boots something, else TCG."""

    auto = "auto"
    kvm = "kvm"
    tcg = "tcg"


class HugePages(StrEnum):
    """never: none while QEMU starts; split: ksmd splits them before pages are compared; keep: as they are."""

    never = "never"
    splitting = "split"
    keep = "keep"


class DumpFormat(StrEnum):
    """Formats that guests are dumped in."""

    raw = "raw"
    elf = "elf"
    kdump_zlib = "kdump-zlib"


_Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="Name or TOML file.")]
_Guests = Annotated[int | None, typer.Option(help="How many guests, shared out among the groups.")]
_Memory = Annotated[str | None, typer.Option(help="Memory of each guest, e.g. 256MiB.")]
_Knobs = Annotated[
    list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="A tunable of KSM; may be repeated.")
]
_Image = Annotated[str | None, typer.Option(help="Image of all guests (vmdedup image list).")]
_Accel = Annotated[Accel, typer.Option("--accel", help="KVM where it boots something, or else TCG.")]
_Limit = Annotated[str, typer.Option(help="Time for all guests to come up.")]
_Wait = Annotated[str, typer.Option(help="How long to wait for another user of the kernel's KSM.")]
_Scans = Annotated[int, typer.Option(min=1, max=1000, help="Full scans to compare.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")]
_NoColor = Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")]
_Uri = Annotated[str, typer.Option("--connect", metavar="URI", help="libvirt's daemon.")]
_SYSTEM = "qemu:///system"


@app.command("run")
def run(
    scenario: _Scenario = "twins",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory for the results (default: below runs/).")
    ] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Without Ansible: guests that start themselves.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Provision twice; the second time must change nothing.")
    ] = False,
    guests: _Guests = None,
    memory: _Memory = None,
    image: _Image = None,
    knobs: _Knobs = None,
    duration: Annotated[str | None, typer.Option(help="How long to measure, e.g. 90s or 5min.")] = None,
    accel: _Accel = Accel.auto,
    wait: _Wait = "0s",
    boot_limit: _Limit = "5min",
    huge_pages: Annotated[HugePages, typer.Option("--huge-pages", help="What becomes of them.")] = HugePages.splitting,
    pause: Annotated[bool, typer.Option("--pause", help="Pause all guests for the last sample.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Then compare as `vmdedup live verify` does.")] = False,
    scans: _Scans = 4,
    dump: Annotated[Path | None, typer.Option("--dump", help="Folder for the guests' memory at the end.")] = None,
    dump_format: Annotated[DumpFormat, typer.Option("--dump-format", help="Format of these.")] = DumpFormat.raw,
    force: Annotated[bool, typer.Option("--force", help="With --dump: replace files there.")] = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
    no_color: _NoColor = False,
    connect: _Uri = _SYSTEM,
) -> int:
    """Start a scenario's guests for real, let ksmd merge them, measure, take them away.

    Ansible provisions them and starts their workloads. With --direct libvirt alone does: guests must need nobody to
    start what they do, and what stands after --wait is to be had.

    \b
      vmdedup live run webdb --guests 3 --duration 2min
      vmdedup live run alike --direct --guests 4 --duration 60s --pause -o runs/four
      vmdedup live run twins --direct --verify --dump dumps
    Ctrl-C ends the measuring and keeps the results so far. Nothing is left behind, whatever happens.
    """
    loaded = _load(scenario, guests, memory, None, None, knobs or (), duration, None)
    if not direct:
        _refuse_without_direct(boot_limit, huge_pages, pause, verify, dump, connect)
        return _by_ansible(loaded, output, image, accel, again, _seconds(wait), as_json, quiet, no_color)
    from vmdedup.cli.direct import Direct

    wishes = {
        "uri": connect,
        "huge_pages": huge_pages.value,
        "accel": accel.value,
        "boot_limit": _seconds(boot_limit),
        "wait": _seconds(wait),
        "pause": pause,
        "verify": verify,
        "scans": scans,
        "dump": dump,
        "dump_format": dump_format.value,
        "force": force,
    }
    return Direct(loaded, image, as_json, quiet, no_color).run(wishes, knobs or [], output)


@app.command("verify")
def verify(
    scenario: _Scenario = "twins",
    guests: _Guests = None,
    memory: _Memory = None,
    image: _Image = None,
    knobs: _Knobs = None,
    accel: _Accel = Accel.auto,
    huge_pages: Annotated[HugePages, typer.Option("--huge-pages", help="What becomes of them.")] = HugePages.keep,
    boot_limit: _Limit = "5min",
    wait: _Wait = "0s",
    scans: _Scans = 4,
    as_json: _Json = False,
    quiet: _Quiet = False,
    no_color: _NoColor = False,
    connect: _Uri = _SYSTEM,
) -> int:
    """Compare kernel and emulator on the very same pages of paused guests: every counter after every full scan.

    \b
      vmdedup live verify twins
      vmdedup live verify alike --guests 6 --scans 6 --huge-pages split
      vmdedup live verify twins --set use_zero_pages=1 --set max_page_sharing=16
    Compared are KSM's counters, guests' own, and what no counter tells: pages that it has still, in huge pages, too.
    Exit status 3 if one differs. Without --set use_zero_pages, both values are compared.
    """
    from vmdedup.cli.direct import Direct

    loaded = _load(scenario, guests, memory, None, None, knobs or (), None, None)
    wishes = {
        "uri": connect,
        "huge_pages": huge_pages.value,
        "accel": accel.value,
        "boot_limit": _seconds(boot_limit),
        "wait": _seconds(wait),
        "measure": False,
        "verify": True,
        "scans": scans,
    }
    return Direct(loaded, image, as_json, quiet, no_color).run(wishes, knobs or [], None)


app.command("measure-plan", help=measure.HELP, hidden=True)(measure.measure)  # what the role `measure` calls
app.command("domain", help=domain.HELP, hidden=True)(domain.domain)  # what the role `guests` calls


@app.command("list")
def list_guests(as_json: _Json = False, connect: _Uri = _SYSTEM) -> int:
    """The guests of vmdedup that libvirt knows, and what KSM does.

    \b
      vmdedup live list
      vmdedup live list --json
    """
    from vmdedup.errors import VmdedupError
    from vmdedup.live.guests.connection import Connection
    from vmdedup.live.guests.node_memory import node_figures
    from vmdedup.live.guests.removal import list_ours

    with Connection(connect) as connection:
        found = list_ours(connection)
        try:
            figures = node_figures(connection)
        except VmdedupError:
            figures = {}  # this driver, or this kernel, has no KSM
    rows = [
        {"name": o.name, "state": o.state, "memory_mib": o.memory_mib, "run": o.mark.run, "image": o.mark.image}
        | {"owner": o.mark.owner or None, "owned": o.mark.is_owned()}
        for o in found
    ]
    if as_json:
        return _document({"guests": rows, "ksm": figures})
    for row in rows:
        owner = f"of process {row['owner']}" if row["owned"] else "its owner has ended" if row["owner"] else "no owner"
        say(f"{row['name']:40} {row['state']:12} {row['memory_mib']:6} MiB  {owner}")
    say(f"{len(rows)} guests; KSM: " + " ".join(f"{name}={value}" for name, value in figures.items()))
    return 0


@app.command("remove")
def remove_guests(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Names from the list.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that no living process owns.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --all: those of living processes too.")] = False,
    as_json: _Json = False,
    connect: _Uri = _SYSTEM,
) -> int:
    """End and undefine guests of vmdedup. Domains that are not vmdedup's are never touched.

    \b
      vmdedup live remove vmdedup-twins-alike-0
      vmdedup live remove --all
    """
    from vmdedup.errors import UsageError
    from vmdedup.live.guests.connection import Connection
    from vmdedup.live.guests.removal import list_ours, remove

    if bool(names) == every:
        raise UsageError("give names of guests, or --all; see vmdedup live list")
    with Connection(connect) as connection:
        kept = []
        if every:
            found = list_ours(connection)
            kept = [ours.name for ours in found if ours.mark.is_owned() and not force]
            names = [ours.name for ours in found if ours.name not in kept]
        removed = remove(connection, names or [])
    if as_json:
        return _document({"removed": removed, "kept": kept})
    for name in removed:
        say(f"removed {name}")
    for name in kept:
        say(f"kept {name}: the process that made it still runs (--force removes it)", err=True)
    return 0


@app.command("restore")
def restore(as_json: _Json = False) -> int:
    """Put back what a run has left changed that was killed together with its guardian. Needs root.

    \b
      vmdedup live restore
    The next run does so by itself; where nothing is left, nothing is done.
    """
    from vmdedup.live.guardian.before import settle
    from vmdedup.live.ksm.alone import require_root
    from vmdedup.live.ksm.lock import KsmLock

    require_root()
    lock = KsmLock()
    try:
        restored = settle()
    finally:
        lock.close()
    if as_json:
        return _document({"restored": restored})
    for line in restored or ["nothing is left to put back"]:
        say(line)
    return 0


def _load(scenario: str, *flags: Any) -> Scenario:
    """The scenario with the flags, in the order of Overrides, written over it."""
    from vmdedup.scenario.load import load_scenario
    from vmdedup.scenario.overrides import Overrides

    return load_scenario(scenario, Overrides(*flags))


def _refuse_without_direct(
    boot_limit: str, huge_pages: HugePages, pause: bool, verify: bool, dump: Path | None, connect: str
) -> None:
    """UsageError: an option that only --direct has."""
    from vmdedup.errors import UsageError

    said = {
        "--boot-limit": boot_limit != "5min",
        "--huge-pages": huge_pages is not HugePages.splitting,
        "--pause": pause,
        "--verify": verify,
        "--dump": dump is not None,
        "--connect": connect != _SYSTEM,
    }
    for option in (option for option, is_said in said.items() if is_said):
        raise UsageError(f"{option} goes with --direct only; add --direct, or leave it out")


def _by_ansible(
    scenario: Scenario,
    output: Path | None,
    image: str | None,
    accel: Accel,
    again: bool,
    wait: float,
    as_json: bool,
    quiet: bool,
    no_color: bool,
) -> int:
    from vmdedup.cli.provision import run_by_ansible

    return run_by_ansible(
        scenario,
        output,
        image=image,
        accelerator=accel.value,
        again=again,
        wait=wait,
        as_json=as_json,
        quiet=quiet,
        no_color=no_color,
    )


def _seconds(text: str) -> float:
    from vmdedup.units import SECOND_NS, parse_duration

    return parse_duration(text) / SECOND_NS


def _document(about: dict[str, Any]) -> int:
    document = {"schema_version": SCHEMA_VERSION, **about}
    say_document(document)
    return 0
