"""Dumps scanned on the machine where they lie, for another one: `python -m vmdedup.scan.afar FILE HOST DUMP…`.

What leaves the machine are salted fingerprints (scan.export). The salt stands in the environment, VMDEDUP_SALT.
"""

from __future__ import annotations

import glob
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from vmdedup.errors import DumpError, VmdedupError
from vmdedup.ours import child, folder

SALT = "VMDEDUP_SALT"


def host_name() -> str:
    """What this machine calls itself."""
    return socket.gethostname()


def fingerprints(dumps: Sequence[str], host: str, salt: str) -> bytes:
    """Those of dumps on this machine, as the bytes of an export. dumps: as `vmdedup scan` takes them, and patterns.

    host: what is put before their names. DumpError: one cannot be read; says on which machine.
    """
    with folder.scratch() as place:
        file = place / "fingerprints.parquet"
        command = child.python_module("vmdedup.scan.afar", str(file), host, *dumps)
        done = child.run(command, {SALT: salt}, stdout=child.DEVNULL, stderr=child.PIPE, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
            raise DumpError(f"{host}: {reason}")
        return file.read_bytes()


def main(file: str, host: str, *dumps: str) -> None:
    """Write the export. VmdedupError: one of the dumps cannot be read."""
    from vmdedup.scan.run import scan_dumps

    names = [name for dump in dumps for name in sorted(glob.glob(dump)) or [dump]]
    scan_dumps(names, hashes_only=Path(file), force=True, salt=os.environ[SALT], host=host)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except VmdedupError as error:
        sys.exit(str(error))
