"""Emulator and kernel on the same scripts: random ones, and real file contents. There is no tolerance."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from kit.script_workers import machine_of
from script_generator import generate_into
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.replay.compare import Comparison
from vmdedup.replay.content import file_pages
from vmdedup.replay.play import play
from vmdedup.replay.script import Script, parse

pytestmark = pytest.mark.kernel
MOST_PAGES = 4096


def agree(script: Script, session: KsmSession, workers: bool = False) -> int:
    """How many lines both print; fails at the first that differs."""
    with machine_of(script, workers) as emulator, KernelMachine(session) as kernel:
        comparison = Comparison(play(script, emulator), play(script, kernel))
        lines = sum(1 for _ in comparison)
        assert comparison.difference is None
        emulator.host.check()
        emulator.ksmd.check()
    return lines


@pytest.mark.parametrize(("size", "scripts"), [("small", 60), (4, 40), ("medium", 16), ("large", 6)])
def test_random_scripts(size: str | int, scripts: int, tmp_path: Path, require_kernel_ksm: KsmSession) -> None:
    for seed in range(900_000, 900_000 + scripts):
        assert agree(parse(generate_into(tmp_path, seed, size)), require_kernel_ksm) > 1, f"seed {seed}"


def test_real_contents(tmp_path: Path, require_kernel_ksm: KsmSession) -> None:
    """Two guests with the same programs and libraries, one of them shifted by a page, and a third with other files."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = sorted((p for p in folder.glob("*.py") if p.stat().st_size > 8192), key=lambda p: p.name)[:40]
    libraries = sorted((folder / "lib-dynload").glob("*.so"))[:20]
    one, two = layout([Path(sys.executable), *libraries], 0), layout([*libraries, Path(sys.executable)], 1)
    three = layout([*texts, *libraries[:5]], 0)
    lines: list[str] = []
    for name, (pages, fills) in {"a": one, "b": two, "c": three}.items():
        lines += [f"vm {name} {pages}", *(f"fill {name} {lo}..{hi} file {path}" for lo, hi, path in fills)]
    for knob in ("use_zero_pages 0", "use_zero_pages 1"):
        lines += ["set run 2", f"set {knob}", "set run 1", *["pass", "counters"] * 3]
    lines += ["poke a 0 0 1", "exit b", "pass", "counters", "pass", "counters", "sharing", "digest"]
    path = tmp_path / "real.ksm"
    path.write_text("\n".join(lines) + "\n")
    assert agree(parse(path), require_kernel_ksm, workers=True) == 10


def layout(files: list[Path], first: int) -> tuple[int, list[tuple[int, int, Path]]]:
    """Pages of a guest that holds the files one after another from page first on, and where each stands."""
    fills, at = [], first
    for path in files:
        pages = min(file_pages(path), MOST_PAGES)
        fills.append((at, at + pages - 1, path.resolve()))
        at += pages
    return at, fills
