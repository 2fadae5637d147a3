"""Sindelar's trees: how much of what guests share they know of, and how many servers fewer that makes."""

from __future__ import annotations

from vmdedup.papers.bench.base import Bench, Experiment, Finding
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.placement.buddies import GUESTS, HOST_GIB, apart, drawn
from vmdedup.place import cluster_tree, tree
from vmdedup.place.hierarchy import charged, nested
from vmdedup.place.plan import Room
from vmdedup.place.table import algorithm
from vmdedup.result.published import Published
from vmdedup.units import GIB, PAGE_SIZE


def trees(bench: Bench, published: Published) -> Finding:
    """Both trees over one fleet."""
    fleet, room = drawn(bench), Room(HOST_GIB * GIB // PAGE_SIZE)
    children = nested(fleet)
    rows = []
    for name, share in (("tree", tree.SHARE), ("cluster-tree", cluster_tree.SHARE)):
        known = 100 * tree.captured(fleet, charged(fleet, children, share).charged)
        level = published.levels[f"{name.replace('-', '_')}_percent"]
        rows.append(
            Row(f"{name}: of what guests share", "%", level, known, f"at most {level.value:g} %", known <= level.value)
        )
    plain = len(algorithm("first-fit")(apart(fleet), room).hosts)
    level = published.levels["fewer_servers_percent"]
    for name in ("tree", "cluster-tree"):
        fewer = 100 * (1 - len(algorithm(name)(fleet, room).hosts) / plain)
        rows.append(Row(f"{name}: fewer servers than without sharing", "%", level, fewer, "fewer", fewer > 0))
    return Finding(rows, f"{len(fleet)} guests; without sharing they need {plain} servers.")


EXPERIMENTS = (
    Experiment(
        "placement-trees",
        "Trees of what guests share: how much they know, and servers saved",
        "sharing_aware",
        f"{GUESTS} guests drawn by a law (vmdedup.place.synthetic) in place of Memory Buddies' traces, which are not "
        "to be had. The trees are found by what guests share, where the paper's follow systems and applications; what "
        "a cluster holds is our reading of its abstract. Servers are held against packing without any sharing.",
        trees,
    ),
)
