"""Ansible's inventory of a run: this machine as the hypervisor, and its guests, with the variables of the roles.

JSON, which Ansible's reader of YAML inventories takes too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmdedup.guest.workloads import laws
from vmdedup.live.provision.plan import GuestPlan, RunPlan
from vmdedup.ours import child, file

FILE = "inventory.json"
_SELF = child.python_module("vmdedup")


def inventory(plan: RunPlan, directory: Path, images: Path, owner: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """The inventory as a document.

    directory: for overlays and consoles. images: the folder that holds a folder for each image. owner: the process that
    takes the guests down, and its start in clock ticks.
    """
    common = {
        "vmdedup_directory": str(directory),
        "images_names": plan.images,
        "images_command": _SELF,
        "measure_command": _SELF,
        "ksm_tunables": {**plan.tunables, "run": "0"},  # whoever measures starts ksmd
    }
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    guests = {guest.domain: _guest(guest, images) for guest in plan.guests}
    every_guest = {
        "ansible_host": "127.0.0.1",
        "ansible_user": "root",
        "guests_accelerator": plan.accelerator,
        "guests_command": _SELF,
        "guests_run": plan.name,
        "guests_owner": owner[0],
        "guests_owner_since": owner[1],
    }
    return {
        "all": {
            "vars": common,
            "children": {
                "hypervisors": {"hosts": {"hypervisor": here}},
                "guests": {"hosts": guests, "vars": every_guest},
            },
        }
    }


def save_inventory(document: Mapping[str, Any], directory: Path) -> Path:
    """Write inventory.json."""
    path = directory / FILE
    file.write(path, json.dumps(document, indent=2, sort_keys=True) + "\n")
    return path


def _guest(guest: GuestPlan, images: Path) -> dict[str, Any]:
    folder = images / guest.image
    return {
        "ansible_port": guest.port,
        "ansible_ssh_private_key_file": str(folder / "ssh_key"),
        "guests_image_directory": str(folder),
        "guests_memory_mib": guest.memory_mib,
        "guests_mergeable": guest.sharing,
        "workload_name": guest.workload,
        "workload_parameters": dict(guest.parameters),
        "workload_laws": laws.__file__,
    }
