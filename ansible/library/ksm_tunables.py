#!/usr/bin/python
"""An Ansible module: the tunables of the kernel's KSM, set or put back."""

from __future__ import annotations

import errno
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:  # where tunables are declared, with the order in which a kernel takes them
    from vmdedup.ksm.sysfs import UNMERGED, in_turn, turn_of
except ImportError:
    in_turn = None

DOCUMENTATION = """
module: ksm_tunables
short_description: Set the tunables of the kernel's KSM, or put them back
description:
  - Saves all tunables in a file the first time that it changes something, and restores them from there.
  - Restoring unmerges everything first, waiting for guests that are just ending, and removes the file.
requirements:
  - vmdedup, for the Python that the hypervisor's modules run with
options:
  tunables:
    description: Names in /sys/kernel/mm/ksm and the values that they shall have.
    type: dict
    default: {}
  saved:
    description: The file that keeps what the tunables were before.
    type: path
    required: true
  state:
    description: Whether to set the tunables, or to put back what was saved.
    choices: [present, restored]
    default: present
  root:
    description: The folder with the tunables.
    type: path
    default: /sys/kernel/mm/ksm
attributes:
  check_mode:
    support: full
"""

EXAMPLES = """
- ksm_tunables:
    tunables: {pages_to_scan: "1000", sleep_millisecs: "20", run: "1"}
    saved: /var/tmp/ksm-before.json
- ksm_tunables:
    saved: /var/tmp/ksm-before.json
    state: restored
"""

RETURN = """
written:
  description: Names and values that were written, in this order.
  type: list
  returned: always
"""

PATIENCE = 20.0  # seconds for pages of guests that are just ending to go away


class Tunables:
    """The files of one folder; what was written is noted in order."""

    def __init__(self, root, check_mode):
        self.root = root
        self.check_mode = check_mode
        self.written = []

    def read(self, name):
        """A tunable's value; of a file like `[none] scan-time`, the chosen word."""
        with open(os.path.join(self.root, name)) as file:
            text = file.read().strip()
        return text.partition("[")[2].partition("]")[0] or text

    def all(self):
        """Every tunable and its value: the files that root may write."""
        names = sorted(os.listdir(self.root))
        return {name: self.read(name) for name in names if os.stat(os.path.join(self.root, name)).st_mode & 0o200}

    def write(self, name, value):
        """Write a tunable, unless this is only a check."""
        self.written.append([name, value])
        if not self.check_mode:
            with open(os.path.join(self.root, name), "w") as file:
                file.write(value)

    def set(self, wanted):
        """Write those that differ: first what needs everything unmerged, last what starts ksmd."""
        different = {name: value for name, value in wanted.items() if self.read(name) != value}
        unmerged = [name for name in different if turn_of(name) == UNMERGED]
        if unmerged:
            self._unmerge({name: different.pop(name) for name in unmerged})
            different["run"] = wanted.get("run", "0")
        for name in in_turn(different):
            self.write(name, different[name])

    def _unmerge(self, values):
        """Free all that is merged, and write what asks for that; wait for guests that are just ending."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.write("run", "0")
            self.write("run", "2")
            try:
                for name, value in values.items():
                    self.write(name, value)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


def present(module, tunables):
    """Set what is wanted; save everything before the first change."""
    wanted = {name: str(value) for name, value in module.params["tunables"].items()}
    before, saved = tunables.all(), module.params["saved"]
    unknown = sorted(set(wanted) - set(before))
    if unknown:
        module.fail_json(msg=f"no tunable {', '.join(unknown)}; there are {', '.join(before)}")
    if any(before[name] != value for name, value in wanted.items()):
        if not module.check_mode and not os.path.exists(saved):
            with open(saved, "w") as file:
                json.dump(before, file)
        tunables.set(wanted)


def restored(module, tunables):
    """Put back what was saved, everything unmerged before; nothing to do if nothing was."""
    saved = module.params["saved"]
    if not os.path.exists(saved):
        return
    with open(saved) as file:
        wanted = json.load(file)
    if tunables.read("advisor_mode") != "none":
        tunables.write("advisor_mode", "none")
    tunables.write("run", "2")
    tunables.set(wanted)
    if not module.check_mode:
        os.remove(saved)


def main():
    """What Ansible calls."""
    module = AnsibleModule(
        argument_spec={
            "tunables": {"type": "dict", "default": {}},
            "saved": {"type": "path", "required": True},
            "state": {"choices": ["present", "restored"], "default": "present"},
            "root": {"type": "path", "default": "/sys/kernel/mm/ksm"},
        },
        supports_check_mode=True,
    )
    if in_turn is None:
        module.fail_json(msg=missing_required_lib("vmdedup"))
    tunables = Tunables(module.params["root"], module.check_mode)
    try:
        {"present": present, "restored": restored}[module.params["state"]](module, tunables)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['root']}: {error.strerror}")
    module.exit_json(changed=bool(tunables.written), written=tunables.written)


if __name__ == "__main__":
    main()
