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

    script: its file. on: "emulator", or "kernel", this machine's own KSM (as root). kernel: which version of Linux is
    emulated. ScriptError: with line and remedy.
    """
    parsed = parse(script)
    if on == "kernel":
        from vmdedup.live.scripts.kernel import KernelMachine

        with KernelMachine() as real:
            return [json.loads(line) for line in play(parsed, real)]
    if on != "emulator":
        raise UsageError(f"on={on!r} is no machine; give emulator or kernel")
    with emulated(parsed, kernel) as machine:
        return [json.loads(line) for line in play(parsed, machine)]
