"""QEMU run by its monitor, for dumps of it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QEMU = "qemu-system-x86_64"


class Qemu:
    """A QEMU, its firmware, its monitor, and nothing else unless arguments say more."""

    def __init__(self, folder: Path, mib: int, *arguments: str) -> None:
        path = folder / "qmp"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            machine = ["-accel", "tcg", "-m", str(mib), "-machine", "pc,mem-merge=off", "-display", "none"]
            monitor = ["-nodefaults", "-vga", "std", "-serial", f"file:{folder / 'serial'}", "-qmp", f"unix:{path}"]
            self.process = subprocess.Popen([QEMU, *machine, *monitor, *arguments], stdin=subprocess.DEVNULL)
            listener.settimeout(30)
            self.socket, _ = listener.accept()
        self.socket.settimeout(60)
        self.lines = self.socket.makefile("rw")
        self.lines.readline()
        self.do("qmp_capabilities")
        self.console = folder / "serial"

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A command's answer."""
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise AssertionError(answer)
            if "return" in answer:
                found = answer["return"]
                return found if isinstance(found, dict) else {}

    def wait_for_firmware(self) -> None:
        """Until the firmware has looked for something to boot: what it has written then stands in memory."""
        for _ in range(200):
            self.do("stop")
            self.do("pmemsave", val=0, size=4096, filename=str(self.scratch))
            self.do("cont")
            if self.scratch.read_bytes()[:1] != b"\0":
                return

    scratch = Path()


@contextmanager
def qemu(folder: Path, mib: int, *arguments: str) -> Iterator[Qemu]:
    """A QEMU that is gone afterwards."""
    machine = Qemu(folder, mib, *arguments)
    try:
        yield machine
    finally:
        machine.process.kill()
        machine.process.wait()
        machine.lines.close()
        machine.socket.close()
