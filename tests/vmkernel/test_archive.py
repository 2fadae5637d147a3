"""The first file system, as another program reads it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from vmdedup.vmkernel.archive import DEVICE, FILE, FOLDER, Entry, archive


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_cpio_reads_it() -> None:
    entries = [Entry("dev", FOLDER), Entry("dev/ttyS1", DEVICE, device=(4, 65)), Entry("init", FILE, b"12345")]
    command = ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"]
    said = subprocess.run(command, input=archive(entries), capture_output=True, check=True).stdout.decode()
    folder, device, file = (line.split() for line in said.splitlines())
    assert (folder[0], folder[-1]) == ("drwxr-xr-x", "dev")
    assert (device[0], device[4:6], device[-1]) == ("crw-------", ["4,", "65"], "dev/ttyS1")
    assert (file[0], file[4], file[-1]) == ("-rwxr-xr-x", "5", "init")
