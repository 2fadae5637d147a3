"""KSM scripts from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.replay.emulated import emulated
from vmdedup.replay.play import play
from vmdedup.replay.script import parse


def replay_script(script: str | Path, on: str = "emulator", kernel: str = "6.18") -> list[dict[str, Any]]:
    """What a KSM script prints, a document for each line (docs/scripts.md).

    script: its file. on: "emulator"; "kernel", this machine's own KSM (as root); "vm:7.2" or "vm:PATH/bzImage", a
    kernel in a throw-away QEMU guest. kernel: which version of Linux is emulated. ScriptError: with line and remedy.
    """
    parsed = parse(script)
    if on == "kernel":
        from vmdedup.live.scripts.kernel import KernelMachine

        with KernelMachine() as real:
            return [json.loads(line) for line in play(parsed, real)]
    if on.startswith("vm:"):
        from vmdedup.vmkernel.session import Booted

        with Booted(on.removeprefix("vm:")) as guest:
            return [json.loads(line) for line in play(parsed, guest.machine(parsed))]
    if on != "emulator":
        raise UsageError(f"on={on!r} is no machine; give emulator, kernel, or vm:VERSION")
    with emulated(parsed, kernel) as machine:
        return [json.loads(line) for line in play(parsed, machine)]
