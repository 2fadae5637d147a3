"""Does KVM work here, for the kernel that guests will boot? Found out by booting something, not by looking at /dev/kvm.

Two steps: a boot sector of a few bytes, which ends QEMU through its isa-debug-exit device, then an image's own kernel,
until it names itself on the serial port: its first code may speak, and the kernel hang all the same. Each has a time
limit. The answer is kept until the machine is booted again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.store import Image
from vmdedup.ours import child, file
from vmdedup.ours.folder import private, runtime, scratch

EMULATOR = "qemu-system-x86_64"
DEVICE = Path("/dev/kvm")
_EXIT_STATUS = 0x55 << 1 | 1  # what QEMU makes of 0x55 written to the exit device
# mov dx, 0xf4; mov al, 0x55; out dx, al; hlt; jmp $-1
_SECTOR = bytes.fromhex("baf400b055eef4ebfd").ljust(510, b"\0") + b"\x55\xaa"
_COMMON = ("-nodefaults", "-display", "none", "-machine", "pc,accel=kvm,mem-merge=off", "-m", "128", "-cpu", "host")
_BANNER = "Linux version"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SECTOR_LIMIT, KERNEL_LIMIT = 10.0, 15.0  # seconds


@dataclass(frozen=True)
class Probe:
    """works: whether KVM boots what was tried. reason: how that is known."""

    works: bool
    reason: str


def choose(wanted: str, images: Iterable[Image], note: Callable[[str], None] = lambda text: None) -> str:
    """The accelerator for guests of these images: kvm or tcg. wanted: auto, kvm, tcg.

    EnvironmentLacksError: kvm is wanted and does not work.
    """
    if wanted == "tcg":
        return "tcg"
    probes = [probe(image) for image in images]
    failed = next((found for found in probes if not found.works), None)
    if failed is None:
        return "kvm"
    if wanted == "kvm":
        raise EnvironmentLacksError(f"KVM does not work here: {failed.reason}; use --accel tcg")
    note(f"guests are emulated by TCG: {failed.reason}")
    return "tcg"


def probe(image: Image | None = None, cache: Path | None = None) -> Probe:
    """Whether KVM boots a boot sector, and the image's kernel. cache: folder for the answer."""
    name = f"kvm-{_key(image)}.json"
    try:
        kept = private(cache or runtime()) / name
        return Probe(**json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError, EnvironmentLacksError):
        found = _probe(image)
    with suppress(OSError, EnvironmentLacksError):  # or it will be found out again
        file.write(private(cache or runtime()) / name, json.dumps(asdict(found)) + "\n")
    return found


def _probe(image: Image | None) -> Probe:
    if not DEVICE.exists():
        return Probe(False, f"{DEVICE} is missing: no virtualisation, or its module is not loaded")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Probe(False, f"{DEVICE} may not be opened; be root, or join group kvm")
    with scratch(prefix="vmdedup-kvm-") as folder:
        found = _boot_sector(folder)
        return found if image is None or not found.works else _boot_kernel(image, folder)


def _boot_sector(folder: Path) -> Probe:
    disk = folder / "sector"
    disk.write_bytes(_SECTOR.ljust(1474560, b"\0"))
    command = [EMULATOR, *_COMMON, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    command += ["-drive", f"file={disk},format=raw,if=floppy", "-device", "VGA"]
    try:
        done = child.run(command, stdin=child.DEVNULL, capture_output=True, timeout=SECTOR_LIMIT)
    except FileNotFoundError:
        return Probe(False, f"{EMULATOR} is missing; apt install qemu-system-x86")
    except child.TimeoutExpired:
        return Probe(False, f"a boot sector under KVM does not run within {SECTOR_LIMIT:g} s")
    if done.returncode != _EXIT_STATUS:
        said = " ".join(done.stderr.decode(errors="replace").split())[:200]
        return Probe(False, f"a boot sector under KVM ends with status {done.returncode}: {said}")
    return Probe(True, "a boot sector ran under KVM")


def _boot_kernel(image: Image, folder: Path) -> Probe:
    console = folder / "console"
    console.touch()

    def has_spoken() -> bool:
        return _BANNER in console.read_text(errors="replace")

    command = [EMULATOR, *_COMMON, "-kernel", str(image.kernel), "-serial", f"file:{console}", "-no-reboot"]
    command += ["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"]
    with child.start(command, stdin=child.DEVNULL, stderr=child.DEVNULL) as process:
        try:
            deadline = time.monotonic() + KERNEL_LIMIT
            while time.monotonic() < deadline and process.poll() is None and not has_spoken():
                time.sleep(0.05)
        finally:
            process.kill()
    if has_spoken():
        return Probe(True, f"the kernel of image {image.name} boots under KVM")
    return Probe(False, f"the kernel of image {image.name} does not come up under KVM within {KERNEL_LIMIT:g} s")


def _key(image: Image | None) -> str:
    """What an answer holds for: this boot of the machine, and this image."""
    what = f"{_BOOT_ID.read_text()} {os.geteuid()} {image.digest if image else ''}"
    return hashlib.sha256(what.encode()).hexdigest()[:16]
