"""What tests need of the machine beyond Python packages of the extra `test`: python -m tests.system.

As root on Debian and its like: installs the packages below that are missing, and what pyproject.toml's extras
`libvirt`, `ansible` and `readers` name (some build against one of these packages, so they cannot come before).
Elsewhere: one line that says what is missing; the tests that need it skip, each with its reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = ("libvirt", "ansible", "readers")
# Debian package to a program of it, by which it is known elsewhere.
PACKAGES = {
    "arch-test": "arch-test",
    "atop": "atop",
    "busybox-static": "busybox",
    "collectd-core": "collectd",
    "cpio": "cpio",
    "dnsmasq-base": "dnsmasq",
    "duperemove": "duperemove",
    "e2fsprogs": "mke2fs",
    "fuse3": "fusermount3",
    "gcc": "gcc",
    "iproute2": "ip",
    "kmod": "modprobe",
    "ksmtuned": "ksmtuned",
    "libc6-dev": "gcc",
    "libvirt-clients": "virsh",
    "libvirt-daemon-system": "libvirtd",
    "libvirt-dev": "pkg-config",
    "lz4": "lz4",
    "mmdebstrap": "mmdebstrap",
    "openssh-client": "ssh",
    "pkg-config": "pkg-config",
    "procps": "pgrep",
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "python3-dev": "python3",
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "util-linux": "unshare",
    "zstd": "zstd",
}
# Packages of these that start daemons once installed, ksmtuned on this machine's own KSM: these are ended at once.
SERVICES = ("atop", "collectd", "ksm", "ksmtuned", "prometheus", "prometheus-node-exporter")
# Other readers and writers of dumps, beside which tests lay ours; those that this release of Debian has.
OTHERS = ("criu", "libkdumpfile10", "libkdumpfile12", "makedumpfile")
KERNEL = "linux-image-cloud-amd64"  # never installed; but it must be known, to be downloaded
KERNELS = ("6.1", "7.2")  # that tests boot in QEMU; kept in the cache


def is_debian() -> bool:
    """Whether packages are Debian's here."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return False
    kinds = " ".join(re.findall(r"^ID(?:_LIKE)?=(.*)$", text, re.MULTILINE))
    return "debian" in kinds and shutil.which("apt-get") is not None


def missing_packages() -> list[str]:
    """Debian packages that are not installed."""
    return sorted(set(PACKAGES) - installed(PACKAGES))


def installed(packages: Iterable[str]) -> set[str]:
    """Which of Debian's packages are installed."""
    command = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    said = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0] for line in said if line.endswith(" installed")}


def known(package: str) -> bool:
    """Whether this release of Debian has a package."""
    return subprocess.run(["apt-cache", "show", package], capture_output=True).returncode == 0


def missing_programs() -> list[str]:
    """Programs that are not here."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return sorted({program for program in PACKAGES.values() if shutil.which(program, path=path) is None})


def missing_requirements() -> list[str]:
    """What the extras require of which no version is installed, as pip wants it said."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return sorted({line for extra in EXTRAS for line in extras[extra] if not is_installed(line)})


def is_installed(requirement: str) -> bool:
    """Whether a Python package is there."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    try:
        version(name[0])
    except PackageNotFoundError:
        return False
    return True


def run(*command: str) -> None:
    """Run it; quiet unless it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nsystem: failed: {' '.join(command)}")


def open_kvm() -> None:
    """Give /dev/kvm to the group kvm, as udev does where it runs.

    While root alone may open it, libvirt asks QEMU anew for each guest what it can do, which takes most of a minute.
    """
    device = Path("/dev/kvm")
    if device.is_char_device() and device.stat().st_mode & 0o060 != 0o060:
        try:
            shutil.chown(device, group="kvm")
            device.chmod(0o660)
        except (LookupError, OSError) as error:
            print(f"system: /dev/kvm stays as it is ({error}); guests start slowly")


def install_packages() -> None:
    """Install what is missing of Debian's packages."""
    missing = missing_packages()
    if missing or not known(KERNEL):
        run("apt-get", "-q", "update")
    missing += sorted(package for package in set(OTHERS) - installed(OTHERS) if known(package))
    if missing:
        print("system: apt-get install", *missing, flush=True)
        run("apt-get", "-q", "-y", "--no-install-recommends", "install", *missing)
        stop_services(missing)


def stop_services(packages: Iterable[str]) -> None:
    """What has just been installed for tests, who start it themselves, shall not run by itself."""
    fresh = {package.removesuffix("-core") for package in packages}
    names = [name for name in SERVICES if name in fresh or (name == "ksm" and "ksmtuned" in fresh)]
    if names and Path("/run/systemd/system").is_dir():
        for name in names:
            subprocess.run(["systemctl", "disable", "--now", name], capture_output=True)


def install_requirements() -> None:
    """Install what is missing of Python's packages, into the environment that runs this."""
    if missing := missing_requirements():
        print("system: pip install", *missing, flush=True)
        run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *missing)


def fetch_kernels() -> None:
    """Have the kernels that tests boot in the cache."""
    command = [sys.executable, "-m", "vmdedup", "kernel", "fetch", *KERNELS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(f"system: {done.stderr.strip()}: tests that boot kernels skip, each with its reason")


def main() -> None:
    """Install it, or say what is missing."""
    if is_debian() and os.geteuid() == 0:
        install_packages()
        install_requirements()
        open_kvm()
        fetch_kernels()
        return
    missing = missing_packages() if is_debian() else missing_programs()
    if missing := [*missing, *missing_requirements()]:
        why = "only root can install it" if is_debian() else "this is no Debian"
        print(f"system: not here: {' '.join(missing)} ({why}): tests of real guests skip, each with its reason")


if __name__ == "__main__":
    main()
