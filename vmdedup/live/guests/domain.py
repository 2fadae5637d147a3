"""A guest as libvirt wants it described: an XML document made from a few plain fields.

Who defines a domain by other means, as Ansible does, gets the document from `vmdedup live domain`.
Source: libvirt, Domain XML format; QEMU's own arguments go through libvirt's namespace for them, because libvirt
cannot describe a user-mode network that forwards a port.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from vmdedup.live.guests.marks import NAMESPACE, PREFIX, Mark

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
EMULATOR = Path("/usr/bin/qemu-system-x86_64")
TRANSLATION_MIB = 64  # TCG's buffer of translated code; by itself QEMU would take up to a gigabyte
NETWORK_SLOT = "0x10"  # on the PCI bus, where libvirt puts nothing


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """One guest. name: without the prefix. accel: "kvm" or "tcg". sharing: whether KSM may merge its memory.

    console: the file that gets what it writes to its serial port. disk: a qcow2 overlay. ssh_port: of this
    machine, forwarded to the guest's port 22. translation_mib: what TCG keeps of translated code.
    """

    name: str
    mark: Mark
    memory_mib: int
    kernel: Path
    initrd: Path
    cmdline: str
    console: Path
    accel: str = "tcg"
    sharing: bool = True
    vcpus: int = 1
    disk: Path | None = None
    ssh_port: int | None = None
    translation_mib: int = TRANSLATION_MIB
    emulator: Path = EMULATOR

    @property
    def domain_name(self) -> str:
        """The name that libvirt knows it by."""
        return f"{PREFIX}{self.name}"


def to_xml(spec: DomainSpec) -> str:
    """The document for virDomainCreateXML or virDomainDefineXML."""
    ET.register_namespace("vmdedup", NAMESPACE)
    ET.register_namespace("qemu", QEMU)
    root = ET.Element("domain", type="kvm" if spec.accel == "kvm" else "qemu")
    _text(root, "name", spec.domain_name)
    ET.SubElement(root, "metadata").append(spec.mark.element())
    _text(root, "memory", str(spec.memory_mib), unit="MiB")
    if not spec.sharing:
        ET.SubElement(ET.SubElement(root, "memoryBacking"), "nosharepages")
    _text(root, "vcpu", str(spec.vcpus))
    _boot(root, spec)
    _machine(root, spec)
    _devices(root, spec)
    # Without it libvirt changes the owner of files that guests share, and keeps count of that in the files: a daemon
    # that is killed leaves the count, and no guest of another user starts from them any more.
    ET.SubElement(root, "seclabel", type="none", model="dac")
    if spec.ssh_port is not None:
        _network(root, spec.ssh_port)
    return ET.tostring(root, encoding="unicode")


def _boot(root: ET.Element, spec: DomainSpec) -> None:
    system = ET.SubElement(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="pc")
    _text(system, "kernel", str(spec.kernel))
    _text(system, "initrd", str(spec.initrd))
    _text(system, "cmdline", spec.cmdline)


def _machine(root: ET.Element, spec: DomainSpec) -> None:
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")
    if spec.accel != "kvm":
        _text(ET.SubElement(features, "tcg"), "tb-cache", str(spec.translation_mib), unit="MiB")
    ET.SubElement(root, "cpu", mode="host-passthrough" if spec.accel == "kvm" else "maximum")
    ET.SubElement(root, "clock", offset="utc")
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(root, event, "destroy")


def _devices(root: ET.Element, spec: DomainSpec) -> None:
    devices = ET.SubElement(root, "devices")
    _text(devices, "emulator", str(spec.emulator))
    if spec.disk is not None:
        _disk(devices, spec.disk)
    ET.SubElement(devices, "controller", type="usb", model="none")
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path=str(spec.console))
    ET.SubElement(serial, "target", type="isa-serial", port="0")
    if spec.disk is not None:
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    ET.SubElement(devices, "memballoon", model="none")
    _text(ET.SubElement(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _disk(devices: ET.Element, overlay: Path) -> None:
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2", cache="unsafe")  # an overlay is thrown away anyway
    ET.SubElement(disk, "source", file=str(overlay))
    ET.SubElement(disk, "target", dev="vda", bus="virtio")


def _network(root: ET.Element, port: int) -> None:
    command = ET.SubElement(root, f"{{{QEMU}}}commandline")
    for word in (
        "-netdev",
        f"user,id=u0,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device",
        f"virtio-net-pci,netdev=u0,bus=pci.0,addr={NETWORK_SLOT},romfile=",
    ):
        ET.SubElement(command, f"{{{QEMU}}}arg", value=word)


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
