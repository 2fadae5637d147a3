"""What guests, playbooks and images need: KVM, QEMU, libvirt, Ansible, image tools, memory and disk."""

from __future__ import annotations

import errno
import grp
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmdedup.doctor.finding import Finding, good, lack, note
from vmdedup.doctor.machine import Machine
from vmdedup.doctor.scene import Scene
from vmdedup.live.libvirt.binding import start_command
from vmdedup.units import GIB, KIB, format_size

KVM: Final = "/dev/kvm"
KVM_API: Final = 12  # the only version since Linux 2.6.22
QEMU: Final = f"qemu-system-{os.uname().machine}"
SOCKETS: Final = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
IMAGE_TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "lz4": "lz4",
    "mke2fs": "e2fsprogs",
}
IMAGES: Final = "/var/cache/vmdedup/images"
ENOUGH_MEMORY, ENOUGH_DISK = 2 * GIB, 4 * GIB
PATIENCE: Final = 1.0  # seconds for the daemon to answer


def check_tools(scene: Scene) -> Iterator[Finding]:
    """Findings of the groups kvm, qemu, libvirt, ansible, images and room."""
    machine = scene.machine
    yield _kvm(machine)
    yield _program(machine, "qemu.program", QEMU, "apt install qemu-system-x86", "guests", "ansible")
    yield from _libvirt(machine)
    yield from _ansible(machine)
    yield _image_tools(machine)
    yield _memory(machine)
    yield _disk(machine)


def _program(machine: Machine, name: str, program: str, remedy: str, *purposes: str) -> Finding:
    path = machine.program(program)
    return good(name, str(path)) if path else lack(name, f"{program} is missing", remedy, *purposes)


def _kvm(machine: Machine) -> Finding:
    """A note where it is missing: guests run without it, more slowly."""
    slow = "guests run on QEMU's own translator, some ten times slower"
    device = machine.path(KVM)
    try:
        version = machine.kvm_version(device)
    except OSError as error:
        if error.errno == errno.EACCES:
            remedy = f"usermod -aG {_group(device)} $USER, and log in again"
            return note("kvm.device", f"{KVM} may not be opened; {slow}", remedy)
        remedy = (
            "turn on virtualisation in the firmware, or nested virtualisation on the host; modprobe kvm_intel kvm_amd"
        )
        return note("kvm.device", f"{KVM}: {error.strerror}; {slow}", remedy)
    if version != KVM_API:
        return note("kvm.device", f"{KVM} speaks version {version}, not {KVM_API}; {slow}", "boot a newer kernel")
    return good("kvm.device", f"{KVM} opens")


def _group(device: Path) -> str:
    try:
        return grp.getgrgid(device.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "kvm"


def _libvirt(machine: Machine) -> Iterator[Finding]:
    packages = "apt install libvirt-daemon-system libvirt-clients"
    yield _program(machine, "libvirt.package", "libvirtd", packages, "guests", "ansible")
    yield _daemon(machine)
    if machine.has_module("libvirt"):
        yield good("libvirt.python", "libvirt-python is installed")
    else:
        remedy = "apt install libvirt-dev pkg-config gcc; pip install 'vmdedup[libvirt]'"
        yield lack("libvirt.python", "libvirt-python is missing", remedy, "guests", "ansible")


def _daemon(machine: Machine) -> Finding:
    refused = ""
    for name in SOCKETS:
        problem = _cannot_connect(machine.path(name))
        if problem == 0:
            return _answering(machine)
        refused = name if problem in (errno.EACCES, errno.EPERM) else refused
    if refused:
        text = f"{refused} may not be used"
        return lack("libvirt.daemon", text, "usermod -aG libvirt $USER, and log in again", "guests", "ansible")
    return lack("libvirt.daemon", "libvirt's daemon does not run", start_command(), "guests", "ansible")


def _cannot_connect(path: Path) -> int:
    """The error number of connecting to a socket, or 0."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.connect(str(path))
        except OSError as error:
            return error.errno or errno.ETIMEDOUT
    return 0


def _answering(machine: Machine) -> Finding:
    """A daemon that hangs still takes connections; so it is asked something."""
    virsh = machine.program("virsh")
    if virsh is None:
        return good("libvirt.daemon", "libvirt's daemon takes connections")
    status, answer = machine.run([str(virsh), "--connect", "qemu:///system", "--readonly", "uri"], PATIENCE)
    if status == 0:
        return good("libvirt.daemon", "libvirt's daemon answers")
    last = answer.splitlines()[-1] if answer else f"exit status {status}"
    if "authentication" in last or "denied" in last:
        text = f"libvirt's daemon does not let us in: {last}"
        return lack("libvirt.daemon", text, "usermod -aG libvirt $USER, and log in again", "guests", "ansible")
    text = f"libvirt's daemon does not answer: {last}"
    return lack("libvirt.daemon", text, f"end it and start it again: {start_command()}", "guests", "ansible")


def _ansible(machine: Machine) -> Iterator[Finding]:
    remedy = "pip install 'vmdedup[ansible]'"
    yield _program(machine, "ansible.core", "ansible-playbook", remedy, "ansible")
    home = machine.environment.get("HOME", "")
    folders = (f"{home}/.ansible/collections", "/usr/share/ansible/collections")
    below = "ansible_collections/community/libvirt"
    if machine.has_module("ansible_collections.community.libvirt") or any(
        os.path.isdir(machine.path(f"{folder}/{below}")) for folder in folders
    ):
        yield good("ansible.collection", "community.libvirt is installed")
    else:
        text = "Ansible's collection community.libvirt is missing"
        yield lack(
            "ansible.collection", text, f"{remedy}; or ansible-galaxy collection install community.libvirt", "ansible"
        )


def _image_tools(machine: Machine) -> Finding:
    missing = [tool for tool in IMAGE_TOOLS if machine.program(tool) is None]
    if not missing:
        return good("images.tools", f"{', '.join(IMAGE_TOOLS)} are installed")
    packages = " ".join(IMAGE_TOOLS[tool] for tool in missing)
    return lack("images.tools", f"{', '.join(missing)} missing", f"apt install {packages}", "images")


def _memory(machine: Machine) -> Finding:
    available = machine.fields("/proc/meminfo").get("MemAvailable", 0) * KIB
    text = f"{format_size(available)} of memory are available"
    if available >= ENOUGH_MEMORY:
        return good("room.memory", text)
    return lack(
        "room.memory", text, f"free some: a few real guests want {format_size(ENOUGH_MEMORY)}", "guests", "ansible"
    )


def _disk(machine: Machine) -> Finding:
    cache = machine.environment.get("XDG_CACHE_HOME") or f"{machine.environment.get('HOME', '')}/.cache"
    folder = IMAGES if machine.is_root else f"{cache}/vmdedup/images"
    free = machine.free_bytes(machine.path(folder))
    text = f"{format_size(free)} are free for images in {folder}"
    if free >= ENOUGH_DISK:
        return good("room.disk", text)
    return lack("room.disk", text, f"free some: an image wants up to {format_size(ENOUGH_DISK)}", "images", "ansible")
