"""Settings ready to use: a script for sysfs, a file for systemd-tmpfiles, ksmtuned.conf, and a command for libvirt."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vmdedup.errors import UsageError
from vmdedup.ksm.sysfs import in_turn
from vmdedup.outputs import MARK, Output, check_output, make_folder
from vmdedup.tune.knobs import POLICY, Settings

NAMES: Final = ("ksm.sh", "ksm-tmpfiles.conf", "ksmtuned.conf", "virsh.sh")
_FOLDER: Final = "/sys/kernel/mm/ksm"


def contents(settings: Settings, run: int) -> dict[str, str]:
    """Files by name. settings: of ksmd. run: that found them. UsageError: another program than ksmd has to be set up.

    ksmtuned sets pages_to_scan and sleep_millisecs alone, so these are pinned; it scales its sleep by memory.
    """
    if (policy := settings.get(POLICY, "ksm")) != "ksm":
        raise UsageError(f"--write: {policy} as it ships is best, so there is no setting of ksmd; set {policy} up")
    knobs = {name: value for name, value in settings.items() if name != POLICY}
    head = f"# {MARK}: settings of run {run}\n"
    order = [name for name in in_turn([*knobs, "run"]) if name != "run"]
    lines = [(name, knobs[name]) for name in order] + [("run", "1")]
    files = {
        "ksm.sh": "#!/bin/sh\n" + head + "".join(f"echo {value} > {_FOLDER}/{name}\n" for name, value in lines),
        "ksm-tmpfiles.conf": head + "".join(f"w {_FOLDER}/{name} - - - - {value}\n" for name, value in lines),
    }
    if tuned := _ksmtuned(knobs):
        files["ksmtuned.conf"] = (
            head + "# KSM_SLEEP_MSEC is for a host of 16 GiB; ksmtuned scales it by memory.\n" + tuned
        )
    if flags := _virsh(knobs):
        files["virsh.sh"] = f"#!/bin/sh\n{head}virsh node-memory-tune {flags}\n"
    return files


def _ksmtuned(knobs: Settings) -> str:
    names = {"pages_to_scan": ("KSM_NPAGES_MIN", "KSM_NPAGES_MAX"), "sleep_millisecs": ("KSM_SLEEP_MSEC",)}
    return "".join(f"{line}={knobs[name]}\n" for name, lines in names.items() if name in knobs for line in lines)


def _virsh(knobs: Settings) -> str:
    names = {"pages_to_scan": "--shm-pages-to-scan", "sleep_millisecs": "--shm-sleep-millisecs"}
    return " ".join(f"{flag} {knobs[name]}" for name, flag in names.items() if name in knobs)


def check(folder: Path, force: bool) -> None:
    """UsageError: a file of somebody's is there already."""
    if folder.is_dir():
        for name in NAMES:
            check_output(folder / name, force)


def write(folder: Path, settings: Settings, run: int, force: bool) -> list[Path]:
    """Write them into a folder, which is made. Returns their places. UsageError: a file of somebody's is there."""
    files = contents(settings, run)
    make_folder(folder)
    for name, text in files.items():
        with Output(folder / name, force) as output:
            output.write_bytes(text.encode())
    return [folder / name for name in files]
