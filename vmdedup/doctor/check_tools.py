"""What guests, playbooks and images need: KVM, QEMU, libvirt, Ansible, image tools, memory and disk."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmdedup.available import Available, available_memory
from vmdedup.doctor.finding import Finding, Status, good, lack, note
from vmdedup.doctor.machine import Machine
from vmdedup.doctor.scene import Scene
from vmdedup.live.guests.accel import EMULATOR
from vmdedup.live.guests.binding import start_command
from vmdedup.units import GIB, format_size

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
_SLOW: Final = "guests run on QEMU's own translator, some ten times slower"
PATIENCE: Final = 1.0  # seconds for the daemon to answer


def check_tools(scene: Scene) -> Iterator[Finding]:
    """Findings of the groups kvm, qemu, libvirt, ansible, images and room."""
    machine = scene.machine
    yield from _kvm(machine)
    yield _program(machine, "qemu.program", QEMU, machine.as_root("apt install qemu-system-x86"), "guests", "ansible")
    yield from _libvirt(machine)
    yield from _ansible(machine)
    yield _image_tools(machine)
    yield _memory(machine)
    yield _disk(machine)


def _program(machine: Machine, name: str, program: str, remedy: str, *purposes: str) -> Finding:
    path = machine.program(program)
    return good(name, str(path)) if path else lack(name, f"{program} is missing", remedy, *purposes)


def _kvm(machine: Machine) -> Iterator[Finding]:
    """Notes where it is missing, or boots nothing: guests run without it, more slowly."""
    device = _kvm_device(machine)
    if device.status is not Status.OK or machine.program(EMULATOR) is None:
        yield device
        return
    booted = machine.boot()
    if booted.works:
        yield from (device, good("kvm.boots", booted.reason))
    else:
        text = f"{KVM} opens, but KVM boots nothing: {booted.reason}; {_SLOW}"
        yield note("kvm.boots", text, "see dmesg; nested virtualisation may be off on the host below")


def _kvm_device(machine: Machine) -> Finding:
    device = machine.path(KVM)
    try:
        version = machine.kvm_version(device)
    except OSError as error:
        if error.errno == errno.EACCES:
            return note("kvm.device", f"{KVM} may not be opened; {_SLOW}", _admission(machine, device))
        remedy = (
            "turn on virtualisation in the firmware, or nested virtualisation on the host; modprobe kvm_intel kvm_amd"
        )
        return note("kvm.device", f"{KVM}: {error.strerror}; {_SLOW}", remedy)
    if version != KVM_API:
        return note("kvm.device", f"{KVM} speaks version {version}, not {KVM_API}; {_SLOW}", "boot a newer kernel")
    return good("kvm.device", f"{KVM} opens")


def _admission(machine: Machine, path: Path) -> str:
    """What lets somebody use a device or a socket: its own group if that has any rights and is not root's, else root.

    Who is in the group still is not root, and what vmdedup does to real guests' memory and to KSM is root's.
    """
    try:
        there = path.stat()
        group = grp.getgrgid(there.st_gid)
    except (OSError, KeyError):
        return "run vmdedup with sudo"
    if not there.st_mode & stat.S_IRWXG or group.gr_gid == 0:
        return "run vmdedup with sudo"
    join = machine.as_root(f"usermod -aG {group.gr_name} $USER")
    return f"run vmdedup with sudo, which real guests need anyway; only to look at them: {join}, and log in again"


def _libvirt(machine: Machine) -> Iterator[Finding]:
    packages = machine.as_root("apt install libvirt-daemon-system libvirt-clients")
    yield _program(machine, "libvirt.package", "libvirtd", packages, "guests", "ansible")
    yield _daemon(machine)
    if machine.has_module("libvirt"):
        yield good("libvirt.python", "libvirt-python is installed")
    else:
        headers = machine.as_root("apt install libvirt-dev pkg-config gcc")
        remedy = f"{headers}; pip install 'vmdedup[libvirt]'"
        yield lack("libvirt.python", "libvirt-python is missing", remedy, "guests", "ansible")


def _daemon(machine: Machine) -> Finding:
    refused = ""
    for name in SOCKETS:
        problem = _cannot_connect(machine.path(name))
        if problem == 0:
            return _answering(machine, machine.path(name))
        refused = name if problem in (errno.EACCES, errno.EPERM) else refused
    if refused:
        remedy = _admission(machine, machine.path(refused))
        return lack("libvirt.daemon", f"{refused} may not be used", remedy, "guests", "ansible")
    start = machine.as_root(start_command())
    return lack("libvirt.daemon", "libvirt's daemon does not run", start, "guests", "ansible")


def _cannot_connect(path: Path) -> int:
    """The error number of connecting to a socket, or 0."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.connect(str(path))
        except OSError as error:
            return error.errno or errno.ETIMEDOUT
    return 0


def _answering(machine: Machine, socket_path: Path) -> Finding:
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
        return lack("libvirt.daemon", text, _admission(machine, socket_path), "guests", "ansible")
    text = f"libvirt's daemon does not answer: {last}"
    start = machine.as_root(start_command())
    return lack("libvirt.daemon", text, f"end it and start it again: {start}", "guests", "ansible")


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
    return lack("images.tools", f"{', '.join(missing)} missing", machine.as_root(f"apt install {packages}"), "images")


def _memory(machine: Machine) -> Finding:
    found = available_memory(machine.root) if machine.text("/proc/meminfo") else Available(0)
    available = found.bytes
    text = f"{format_size(available)} of memory are available {found.where}"
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
