"""Every command, small: what the drill disturbs. A command that is not here, nor in ELSEWHERE, fails a test."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

TINY = """
duration = "600s"
[host]
tick = "100ms"
sample_interval = "100ms"
[ksm]
run = 1
[[guests]]
name = "vm"
count = 2
memory = "4MiB"
workload = "idle"
[guests.disk]
kind = "generated"
mib = 4
"""
SCRIPT = "vm a 200\nvm b 200\nfill a 0..199 key 1+\nfill b 0..199 seed 7\nfork a c\npass 3\ncounters\ndigest\n"
DUMP_PAGES = 100


@dataclass(frozen=True)
class Command:
    """words: as they are typed in an empty folder beside INPUTS; {pid} is a process to look at.

    status: what it ends with undisturbed. makes: what must be sound afterwards: "run", "recording" or nothing.
    kernel: needs the kernel's KSM. cheap: takes a second at most, so that each test can have it.
    """

    words: str
    status: tuple[int, ...] = (0,)
    makes: str = ""
    kernel: bool = False
    cheap: bool = False

    @property
    def looks(self) -> bool:
        """It needs a process to look at."""
        return "{pid}" in self.words

    def line(self, pid: int) -> list[str]:
        return self.words.format(pid=pid).split()


INPUTS = "../in"
_RUN = f"run {INPUTS}/tiny.toml -o out --duration"
COMMANDS = {
    "run": Command(f"{_RUN} 20s", makes="run"),
    "run wall": Command(f"{_RUN} 2s --clock wall", makes="run"),
    "run policies": Command(f"{_RUN} 2s --policy ksm,esx", makes="run"),
    "run json": Command(f"{_RUN} 5s -q --json --policy none", makes="run"),
    "run kernel": Command(f"{_RUN} 2s --on kernel", (0, 4), makes="run", kernel=True),
    "replay": Command(f"replay {INPUTS}/script.ksm"),
    "replay kernel": Command(f"replay {INPUTS}/script.ksm --on kernel", (0, 4), kernel=True),
    "replay both": Command(f"replay {INPUTS}/script.ksm --on both", (0, 4), kernel=True),
    "scan": Command(f"scan {INPUTS}/a.raw {INPUTS}/b.raw", cheap=True),
    "scan json": Command(f"scan --json {INPUTS}/a.raw {INPUTS}/b.raw", cheap=True),
    "scan spooled": Command(f"scan {INPUTS}/big.raw --memory-limit 4KiB -q", cheap=True),
    "scan subpage": Command(f"scan --subpage {INPUTS}/a.raw {INPUTS}/b.raw"),
    "scan hashes": Command(f"scan {INPUTS}/a.raw --hashes-only out.parquet --salt x"),
    "sweep": Command(f"sweep {INPUTS}/tiny.toml --vary duration=2s,3s --jobs 2 -q -o out"),
    "tune": Command(f"tune {INPUTS}/tiny.toml --over pages_to_scan --trials 2 --jobs 1 -q --keep out"),
    "learn": Command(f"learn {INPUTS}/a.raw {INPUTS}/b.raw --check {INPUTS}/big.raw -o out.guest"),
    "record": Command("record pid:{pid} --all -o out.rec --interval 100ms --steps 8", makes="recording"),
    "record pause": Command(
        "record pid:{pid} --all --pause -q -o out.rec --interval 50ms --steps 8", makes="recording"
    ),
    "record show": Command(f"record --show {INPUTS}/live.rec"),
    "compare": Command(f"compare {INPUTS}/one {INPUTS}/two"),
    "compare json": Command(f"compare --json {INPUTS}/one {INPUTS}/two"),
    "compare plot": Command(f"compare {INPUTS}/one {INPUTS}/two --plot out.png"),
    "leak": Command("leak --policy ksm --memory 4MiB --guesses 8 --trials 0"),
    "experiment run": Command("experiment run ksm-windows --quick -o out"),
    "experiment run beside": Command("experiment run ksm-windows --quick --seeds 2 --jobs 2 -o out"),
    "experiment list": Command("experiment list"),
    "experiment show": Command(f"experiment show {INPUTS}/kept/experiments.json"),
    "policy list": Command("policy list"),
    "policy show": Command("policy show uksm"),
    "policy check": Command("policy check none"),
    "scenario list": Command("scenario list", cheap=True),
    "scenario show": Command("scenario show dense", cheap=True),
    "scenario check": Command(f"scenario check {INPUTS}/tiny.toml", cheap=True),
    "scenario workloads": Command("scenario workloads", cheap=True),
    "doctor": Command("doctor", (0, 1, 4), cheap=True),
    "doctor pid": Command("doctor --json --pid {pid}", (0, 1, 4)),
    "image list": Command("image list", cheap=True),
    "image path": Command("image path none", (2,), cheap=True),
    "image verify": Command("image verify none", (2,), cheap=True),
    "image remove": Command("image remove none", (2,), cheap=True),
    "live list": Command("live list", (0, 4), cheap=True),
    "live remove": Command("live remove none", (0, 2, 4), cheap=True),
    "calibrate": Command("calibrate -q --rounds 1 --pages 4096 -o out.json", (0, 4), kernel=True),
    "calibrate show": Command("calibrate --show", cheap=True),
    "exec": Command(f"exec {INPUTS}/tiny.toml -q --plain --speed 5 -o out -- sleep 2", (0, 4), makes="run"),
    "explain": Command(f"explain {INPUTS}/script.ksm -o out.html"),
    "place": Command(f"place {INPUTS}/a.raw {INPUTS}/b.raw --host-memory 1MiB"),
    "report": Command(f"report {INPUTS}/one {INPUTS}/two -o out.html"),
    "top": Command(f"top {INPUTS}/tiny.toml --once --json"),
    "status": Command("status --json", (0, 4), cheap=True),
    "man": Command("man out", cheap=True),
    "live restore": Command("live restore", (0, 4), kernel=True),
}
# What takes guests, a network or minutes: its own tests kill it.
ELSEWHERE = {
    "image build": "image/test_boot.py: takes a network and minutes",
    "live run": "live/test_guardian.py, live/test_guardian_owner.py: boots guests",
    "live domain": "ansible/test_inventory.py: prints what it is told, and starts nothing",
    "live measure-plan": "ansible/test_live.py: measures what Ansible has provisioned",
    "live verify": "live/test_guests_comparison.py: boots guests",
    "kernel fetch": "vmkernel/test_store.py: takes a network and minutes",
    "kernel list": "vmkernel/test_store.py: lists what was fetched",
    "mount": "guise/test_without_fuse.py, guise/test_clients.py: has no end of its own",
    "serve": "metrics/test_prometheus.py: has no end of its own",
    "conform": "conform/test_conform.py: boots guests",
}


def make_inputs(folder: Path) -> None:
    """The files that commands read and no command makes."""
    folder.mkdir()
    dice = random.Random(1)
    (folder / "tiny.toml").write_text(TINY)
    (folder / "script.ksm").write_text(SCRIPT)
    (folder / "a.raw").write_bytes(first := dice.randbytes(DUMP_PAGES * 4096))
    (folder / "b.raw").write_bytes(first[: len(first) // 2] + bytes(len(first) // 2))
    (folder / "big.raw").write_bytes(dice.randbytes(4096 * 5000))
    os.chmod(folder, 0o755)


# What makes the rest of the inputs: commands themselves, run before anything is disturbed.
MADE_BY = (
    f"run {INPUTS}/tiny.toml -q -o {INPUTS}/one --duration 2s",
    f"run {INPUTS}/tiny.toml -q -o {INPUTS}/two --duration 2s --policy esx",
    "record pid:{pid} --all -q -o " + INPUTS + "/live.rec --interval 50ms --steps 3",
    f"experiment run ksm-windows --quick -o {INPUTS}/kept",
)
