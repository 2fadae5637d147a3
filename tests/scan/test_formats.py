"""Dumps of every format are counted as their pages are; and live memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.dump_contents import contents_of
from kit.dump_writers_samples import FILES, write_cloud_hypervisor, write_criu
from kit.scan_oracle import check, page
from vmdedup.scan import scan_dumps


@pytest.mark.parametrize("name", [f"{kind}-{at}" for kind, files in FILES.items() for at in range(len(files))])
def test_files(tmp_path: Path, name: str) -> None:
    kind, at = name.rsplit("-", 1)
    path = tmp_path / name
    path.write_bytes(FILES[kind][int(at)])
    check(scan_dumps([path]).document, [list(contents_of(path).values())])


def test_formats_share_with_each_other(tmp_path: Path) -> None:
    paths = []
    for kind, files in FILES.items():
        paths.append(tmp_path / kind)
        paths[-1].write_bytes(files[0])
    check(scan_dumps(paths).document, [list(contents_of(path).values()) for path in paths])


def test_directories(tmp_path: Path) -> None:
    for name, write in (("criu", write_criu), ("cloud", write_cloud_hypervisor)):
        (tmp_path / name).mkdir()
        path = write(tmp_path / name)
        check(scan_dumps([path]).document, [list(contents_of(path).values())])


def test_a_live_process(tmp_path: Path) -> None:
    """Pages that a process has are found, copies too."""
    code = f"import sys; kept = [bytearray(b) for b in ({page(0x5A5A5A)!r} * 64,)]; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            if not os.access(f"/proc/{process.pid}/mem", os.R_OK):
                pytest.skip("the memory of another process may not be read here; run as root")
            result = scan_dumps([f"pid:{process.pid}:all"])
        finally:
            process.kill()
    assert result.total["read"] > 500
    assert result.dumps[0]["format"] == "process"
    assert any(entry["copies"] >= 30 for entry in result.document["top"])
