"""Images boot under QEMU, let us in, do their work and switch off."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.booted_guest import BootedGuest, image_or_skip
from vmdedup.image.store import verify

pytestmark = [pytest.mark.qemu, pytest.mark.slow]
LIMIT = 120.0  # seconds; a few are enough on an idle machine


def test_the_tiny_image_boots_and_works(tmp_path: Path) -> None:
    image = image_or_skip("tiny")
    assert verify(image) == []
    with BootedGuest(image, tmp_path, "vmdedup.work=4") as guest:
        guest.says(f"{image.ready} guest-1 ", LIMIT)
        guest.says("VMDEDUP-FILLED 4", LIMIT)
        assert guest.ssh("hostname; id -u") == "guest-1\n0\n"
        # Half of it is alike in all guests, half in none; and nothing changes unless it is asked for.
        alike = "cmp -s -n 1048576 /tmp/filled/{0} /bin/busybox"
        assert guest.ssh(f"for i in 0 1 2 3; do {alike.format('$i')} && echo $i; done; true") == "0\n2\n"
        guest.ssh("/usr/lib/vmdedup/work 6:2:0.1 </dev/null >/dev/console 2>&1 &")
        guest.says("VMDEDUP-FILLED 6", LIMIT)
        guest.ssh(f"while {alike.format(2)} || {alike.format(4)}; do sleep 0.1; done")
        guest.ssh("poweroff")
        guest.ends(LIMIT)


def test_the_debian_image_serves(tmp_path: Path) -> None:
    image = image_or_skip("debian")
    with BootedGuest(image, tmp_path) as guest:
        guest.says(f"{image.ready} guest-1 ", LIMIT)
        assert guest.ssh("hostname; python3 -c 'import json, sqlite3, ssl; print(6 * 7)'") == "guest-1\n42\n"
        guest.ssh("nginx && redis-server --daemonize yes >&2")
        served = "python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1/').status)\""
        assert guest.ssh(f"echo PING | redis-cli; {served}") == "PONG\n200\n"
        guest.ssh("poweroff")
        guest.ends(LIMIT)
