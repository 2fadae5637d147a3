"""Guests that store while a policy scans: what is read back is what was stored, whatever was shared meanwhile."""

from __future__ import annotations

import pytest

from kit.storers import GUESTS, PAGES, race
from vmdedup.host.memory import Host
from vmdedup.policy.esx.policy import Esx

pytestmark = pytest.mark.compiled  # threads run at the same time only there


def test_esx_scans_while_guests_store() -> None:
    host = Host.create(PAGES * GUESTS, mms=4)
    policy = Esx(host, 5)
    for knob in policy.tunables:
        policy.set(knob, "0")
    storers = race(policy, host)
    assert policy.counters()["hints_stale"] > 0
    policy.scan(200 * PAGES)
    policy.scan(200 * PAGES)
    contents = {row.tobytes() for storer in storers for row in storer.known if row.any()}
    assert host.frames_in_use() == len(contents)
    policy.check()
    host.close()
