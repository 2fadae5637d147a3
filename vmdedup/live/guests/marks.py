"""How our domains are told from all others: a prefix of the name, and metadata in a namespace of our own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from vmdedup.live.guests import binding

PREFIX = "vmdedup-"
NAMESPACE = "https://vmdedup.org/domain/1"
_ELEMENT = 2  # VIR_DOMAIN_METADATA_ELEMENT


@dataclass(frozen=True, slots=True)
class Mark:
    """Who made a domain. run: the run's own word. owner, since: the process and its start in clock ticks, 0 if none.

    image: what it boots from, or nothing.
    """

    run: str
    owner: int = 0
    since: int = 0
    image: str = ""

    def element(self) -> ET.Element:
        """The element that stands in a domain's metadata."""
        words = {"run": self.run, "owner": str(self.owner), "since": str(self.since), "image": self.image}
        return ET.Element(f"{{{NAMESPACE}}}domain", {name: value for name, value in words.items() if value})

    def is_owned(self) -> bool:
        """Whether the process that made the domain still runs."""
        return self.owner > 0 and start_time(self.owner) == self.since


def mark_of_this_process(run: str, image: str = "") -> Mark:
    """The mark of a domain that this process is about to make."""
    return Mark(run, os.getpid(), start_time(os.getpid()), image)


def read_mark(domain: Any) -> Mark | None:
    """The mark of a libvirt domain, None if it is not ours. Raises as binding.translated."""
    with binding.translated("reading a domain's metadata"):
        if not domain.name().startswith(PREFIX):
            return None
        try:
            text = domain.metadata(_ELEMENT, NAMESPACE, 0)
        except binding.load().libvirtError as error:
            if error.get_error_code() in (binding.NO_METADATA, binding.NO_DOMAIN):
                return None
            raise
    words = ET.fromstring(text).attrib
    owner, since = (_number(words.get(name, "")) for name in ("owner", "since"))
    return Mark(words.get("run", ""), owner, since, words.get("image", ""))


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since the machine did; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
