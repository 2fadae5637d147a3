"""Salts: a page is shared with another only if their guests have the same salt.

A salt is mixed into the upper 32 bits of the hash, which are compared for hints and shared frames alike. Different
salts differ there, so equal contents never meet. The zero page is shared by guests without salt only.
Source: VMware knowledge base, 318959 and 323624 (Mem.ShareForceSalting, sched.mem.pshare.salt).
"""

from __future__ import annotations

from typing import Final

from vmdedup.host.memory import Host

NONE, DOMAIN, GUEST = 0, 1, 2  # values of the tunable
_ODD: Final = 0x9E3779B1  # multiplying by an odd number is a permutation of 32 bits
_U32: Final = 0xFFFFFFFF


def salt_of(host: Host, mm: int, salting: int) -> int:
    """A guest's salt, as an int64 whose lower half is 0. A domain of 0 has none."""
    who = (0, int(host.arrays.mms[mm]["domain"]), mm)[salting]
    upper = who * _ODD & _U32
    return (upper - (1 << 32) if upper >> 31 else upper) << 32
