"""A libvirt daemon for tests alone: its sockets and state in a folder of the test's, so that it may be killed.

It lives in a mount namespace of its own, where empty folders lie over the machine's /run/libvirt and /var/lib/libvirt.
Guests' folders are seen by all, and so are the guests' processes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

from vmdedup.errors import VmdedupError
from vmdedup.live.guests.connection import Connection

HIDDEN = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt")
# Guests run as root, and files keep their owners: the images are the machine's, whose own libvirt may use them, too.
QEMU_CONF = """stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
"""
PATIENCE = 30.0


def why_not() -> str:
    """Why this machine cannot have such a daemon; nothing if it can."""
    if os.geteuid() != 0:
        return "needs root: run the tests as root"
    for program, package in (("libvirtd", "libvirt-daemon-system"), ("qemu-system-x86_64", "qemu-system-x86")):
        if shutil.which(program) is None:
            return f"{program} is missing: apt install {package}"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "needs a mount namespace: run the tests with CAP_SYS_ADMIN"
    return ""


class PrivateLibvirt:
    """One daemon; start() and kill() it as often as you like."""

    def __init__(self, folder: Path) -> None:
        """folder: an empty one with a short path, since sockets are in it."""
        self.folder = folder
        self.uri = f"qemu+unix:///system?socket={folder}/libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("etc", "run", "lib"):
            (folder / name).mkdir()
        (folder / "etc" / "qemu.conf").write_text(QEMU_CONF)
        (folder / "libvirtd.conf").write_text(
            f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folders = zip(("run", "lib", "etc"), HIDDEN, strict=True)
        mounts = [f"mount --bind {self.folder}/{mine} {theirs}" for mine, theirs in folders]
        daemon = ["libvirtd", "-f", f"{self.folder}/libvirtd.conf", "-p", f"{self.folder}/libvirtd.pid"]
        script = " && ".join([*(f"mkdir -p {path}" for path in HIDDEN), *mounts, f"exec {shlex.join(daemon)}"])
        with (self.folder / "log").open("ab") as log:
            words = ["unshare", "--mount", "sh", "-c", script]
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.answers():
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it can be reached."""
        try:
            with Connection(self.uri) as connection:
                return connection.is_alive()
        except VmdedupError:
            return False

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
