"""Kernels as plain Python: the same answers, and calls are told."""

from __future__ import annotations

from typing import Any

import numpy as np

from vmdedup.host.layout import CTL_WORDS
from vmdedup.jit import rbtree
from vmdedup.jit.page import checksum
from vmdedup.jit.plain import Plain
from vmdedup.ksm.layout import rmap_item_dtype
from vmdedup.ksm.stable_node import is_stale
from vmdedup.ksm.unstable import candidate_frame, insert


class Heard:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def called(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Before."""
        self.calls.append(f"{name} {len(arguments)}")

    def returned(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        """After."""
        self.calls.append(f"{name} → {result}")


def test_an_answer_is_the_kernels() -> None:
    pages = np.random.default_rng(1).integers(0, 1 << 62, (3, 512))
    plain = Plain(Heard(), ()).function(checksum)
    assert [plain(pages, i) for i in range(3)] == [checksum(pages, i) for i in range(3)]


def test_intrinsics_have_stand_ins() -> None:
    class Host:
        """As kernels see it."""

        ctl = np.zeros(CTL_WORDS, np.int64)

    assert Plain(Heard(), ()).function(is_stale)(Host, None, 1) is False


def test_calls_of_what_is_watched_are_told_wherever_they_come_from() -> None:
    heard = Heard()
    assert Plain(heard, [candidate_frame]).function(candidate_frame)(0) == 0
    assert heard.calls == ["candidate_frame 1", "candidate_frame → 0"]


def test_kernels_reach_others_by_module_too() -> None:
    """rbtree.insert, called by its module's name, from another kernel."""
    heard = Heard()
    plain = Plain(heard, [rbtree.insert])
    items, roots = np.zeros(4, rmap_item_dtype), np.zeros(1, np.int64)
    state = np.zeros(1, [("seqnr", "i8"), ("pages_unshared", "i8")])

    class Records:
        """As kernels see them."""

        st, unstable = state, roots

    Records.items = items  # type: ignore[attr-defined]
    plain.function(insert)(Records, 0, 2, 0, False)
    assert roots[0] == 2
    assert heard.calls == ["insert 6", "insert → None"]
