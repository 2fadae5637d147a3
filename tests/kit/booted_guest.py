"""A real guest of an image under QEMU, as a test wants it: started, waited for, asked, switched off, gone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.store import Image, require

QEMU = "qemu-system-x86_64"


def image_or_skip(name: str) -> Image:
    """The image, built if it must be; skips where that cannot be done."""
    lacking = [program for program in (QEMU, "qemu-img", "ssh") if shutil.which(program) is None]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed; on Debian, as root: python -m tests system")
    try:
        return require(name)
    except EnvironmentLacksError as error:
        if os.environ.get("VMDEDUP_REQUIRE_QEMU"):
            raise
        pytest.skip(str(error))


class BootedGuest:
    """A guest whose memory KSM leaves alone."""

    def __init__(self, image: Image, folder: Path, *arguments: str) -> None:
        """Start it. arguments: more of the kernel's command line."""
        self.image = image
        self.console = folder / "console.log"
        self.port = free_port()
        memory = f"{image.memory_mib}M"
        self.process = subprocess.Popen(
            [
                *(QEMU, "-machine", "pc,mem-merge=off", "-accel", "tcg,tb-size=64", "-cpu", "max", "-m", memory),
                *("-nodefaults", "-display", "none", "-serial", f"file:{self.console}"),
                *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
                *("-append", image.command_line("guest-1", *arguments)),
                *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
                *("-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
                *self._disk(folder),
            ],
            stdin=subprocess.DEVNULL,
        )

    def _disk(self, folder: Path) -> list[str]:
        if self.image.disk is None:
            return []
        overlay = folder / "overlay.qcow2"
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(self.image.disk), "-F", "raw", str(overlay)]
        subprocess.run(command, check=True)
        return ["-drive", f"file={overlay},if=virtio,cache=unsafe"]

    def says(self, text: str, limit: float) -> None:
        """Wait until the console has a text."""

        def there() -> bool:
            assert self.process.poll() is None, f"QEMU ended; console: {self._said()}"
            return text in self._said()

        self._wait(there, limit, f"no {text!r}")

    def _said(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def ssh(self, command: str) -> str:
        """What a command in the guest writes to stdout."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=20", "LogLevel=ERROR"]
        words = ["-i", str(self.image.ssh_key), "-p", str(self.port), *(f"-o{option}" for option in options)]
        done = subprocess.run(["ssh", *words, "root@127.0.0.1", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ends(self, limit: float) -> None:
        """Wait until it has switched itself off."""
        self._wait(lambda: self.process.poll() is not None, limit, "QEMU still runs")
        assert self.process.returncode == 0

    def _wait(self, condition: Callable[[], bool], limit: float, otherwise: str) -> None:
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f"{otherwise} after {limit} s; console: {self._said()}"
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
