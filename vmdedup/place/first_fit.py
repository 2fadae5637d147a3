"""First fit: each guest on the first host that has room for it. Blind to what is shared when it chooses.

Hosts share pages all the same, as hosts with KSM do, so there is room for more; only nobody sees to who meets whom.
"""

from __future__ import annotations

import numpy as np

from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Hosts, Plan, Room

NAME = "first-fit"


def place(fleet: Fleet, room: Room) -> Plan:
    """In the order given."""
    hosts = Hosts(fleet, room)
    for guest in range(len(fleet)):
        free = np.flatnonzero(hosts.fits(hosts.adds(guest)))
        host = int(free[0]) if len(free) else hosts.open()
        if host is not None:
            hosts.put(guest, host)
    return hosts.plan(NAME)
