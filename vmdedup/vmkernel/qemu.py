"""A QEMU process: a kernel, a first file system, a window of memory that the guest shares, and a line to speak through.

Nothing of it is in a file: the window, the kernel's messages and the file system are memory without a name, handed over
as descriptors. QEMU ends with the thread that started it, however that ends.
"""

from __future__ import annotations

import mmap
import os
import socket
from dataclasses import dataclass

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.ours import child

QEMU = "qemu-system-x86_64"
WINDOW_SIZE = 1 << 21
WINDOW_ADDRESS = "0000:00:04.0"  # where the guest finds the window on its PCI bus
PATIENCE = 60.0  # seconds for any one answer, booting included

_REMEDY = "run: apt-get install qemu-system-x86"
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 nokaslr tsc=reliable no_timer_check mitigations=off"
# What a guest that lives for minutes does not need: tests of ciphers, measuring of files.
_COMMAND_LINE += " random.trust_cpu=on cryptomgr.notests initcall_blacklist=crypto_self_test ima=off apparmor=0"


@dataclass(frozen=True)
class Shape:
    """What a guest has. nodes: of memory, each with a processor. node_mib: memory of each. disk_mib: 0 is none."""

    nodes: int = 1
    node_mib: int = 768
    disk_mib: int = 0


class Qemu:
    """A running QEMU; close() it, or use it as a context manager."""

    def __init__(self, image: bytes, files: bytes, shape: Shape) -> None:
        """Start it. image: a bzImage, or what is in one. EnvironmentLacksError: there is no QEMU here."""
        for program, remedy in ((QEMU, _REMEDY), ("setpriv", "run: apt-get install util-linux")):
            if child.find(program) is None:
                raise EnvironmentLacksError(f"{program} is not here; {remedy}")
        self._descriptors: list[int] = []
        self._socket, theirs = socket.socketpair()
        try:
            window = self._memory("window", WINDOW_SIZE)
            self._log = self._memory("messages", 0)
            self.window = mmap.mmap(window, WINDOW_SIZE)
            places = {"window": window, "log": self._log, "files": self._memory("files", 0, files)}
            places["kernel"] = self._memory("kernel", 0, image)
            if shape.disk_mib:
                places["disk"] = self._memory("disk", shape.disk_mib << 20)
            self._process = child.start(
                ["setpriv", "--pdeathsig", "KILL", QEMU, *_arguments(places, shape)],
                pass_fds=self._descriptors,
                stdin=theirs,
                stdout=theirs,
                stderr=self._log,
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.settimeout(PATIENCE)

    def _memory(self, name: str, size: int, data: bytes = b"") -> int:
        descriptor = os.memfd_create(f"vmdedup-{name}", os.MFD_CLOEXEC)
        self._descriptors.append(descriptor)
        os.truncate(descriptor, size)
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], written)
        return descriptor

    def ask(self, byte: int) -> None:
        """Have the guest's first process do a list, and wait until it has. GuestError: it does not answer."""
        try:
            self._socket.send(bytes((byte,)))
        except OSError:
            raise self._broken("has ended") from None
        self.wait()

    def wait(self) -> None:
        """Wait for the guest's next byte. GuestError: it has ended, or does not answer."""
        try:
            if self._socket.recv(1):
                return
        except TimeoutError:
            raise self._broken(f"has not answered for {PATIENCE:.0f} s") from None
        except OSError:
            pass
        raise self._broken("has ended")

    def messages(self) -> str:
        """What QEMU and the kernel have said so far."""
        return os.pread(self._log, 1 << 20, 0).decode(errors="replace")

    def _broken(self, what: str) -> GuestError:
        lines = [line.strip() for line in self.messages().splitlines() if line.strip()]
        said = next((line for line in lines if "panic" in line or "qemu" in line.lower()), lines[-1] if lines else "")
        self.close()
        return GuestError(f"the guest {what}{f': {said}' if said else ''}; see that the kernel boots in QEMU")

    def close(self) -> None:
        """End QEMU. Harmless when done already."""
        self._socket.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        while self._descriptors:
            os.close(self._descriptors.pop())


def _arguments(places: dict[str, int], shape: Shape) -> list[str]:
    """QEMU's own; places: descriptors by what is in them."""
    path = {name: f"/proc/self/fd/{descriptor}" for name, descriptor in places.items()}
    arguments = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    arguments += ["-machine", "pc,accel=tcg,usb=off,mem-merge=off,dump-guest-core=off", "-cpu", "max"]
    arguments += ["-m", str(shape.nodes * shape.node_mib), "-smp", str(shape.nodes)]
    if shape.nodes > 1:
        for node in range(shape.nodes):
            arguments += ["-object", f"memory-backend-ram,id=node{node},size={shape.node_mib}M,merge=off,dump=off"]
            arguments += ["-numa", f"node,nodeid={node},cpus={node},memdev=node{node}"]
    arguments += ["-kernel", path["kernel"], "-initrd", path["files"], "-append", _COMMAND_LINE]
    arguments += ["-chardev", f"file,id=log,path={path['log']},append=on", "-serial", "chardev:log"]
    arguments += ["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]
    window = f"memory-backend-file,id=window,size={WINDOW_SIZE},mem-path={path['window']},share=on,merge=off,dump=off"
    arguments += ["-object", window, "-device", "ivshmem-plain,memdev=window,addr=4"]
    if "disk" in path:
        arguments += ["-drive", f"if=none,id=disk,format=raw,file={path['disk']}"]
        arguments += ["-device", "virtio-blk-pci,drive=disk"]
    return arguments
