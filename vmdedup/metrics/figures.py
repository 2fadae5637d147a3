"""What a page of metrics tells: names, kinds, labels and meanings, declared once, and figures for them.

Where node_exporter has a name, that is used, so that its dashboards work; the rest begin with vmdedup_.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

COUNTER, GAUGE = "counter", "gauge"


@dataclass(frozen=True)
class Metric:
    """One name. kind: COUNTER, whose name ends in _total, or GAUGE."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """As Prometheus has it."""
        return COUNTER if self.name.endswith("_total") else GAUGE


@dataclass(frozen=True)
class Figure:
    """One value, in base units: bytes, seconds, or a count. labels: values of its metric's labels, in order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


# Of KSM's files, by file: as node_exporter's ksmd collector names them. Source: node_exporter, collector/ksmd_linux.go.
KSMD: Final[Mapping[str, str]] = {
    "full_scans": "node_ksmd_full_scans_total",
    "general_profit": "node_ksmd_general_profit_bytes",
    "merge_across_nodes": "node_ksmd_merge_across_nodes",
    "pages_shared": "node_ksmd_pages_shared",
    "pages_sharing": "node_ksmd_pages_sharing",
    "pages_to_scan": "node_ksmd_pages_to_scan",
    "pages_unshared": "node_ksmd_pages_unshared",
    "pages_volatile": "node_ksmd_pages_volatile",
    "run": "node_ksmd_run",
    "sleep_millisecs": "node_ksmd_sleep_seconds",
    "ksm_zero_pages": "vmdedup_ksmd_zero_pages",
    "max_page_sharing": "vmdedup_ksmd_max_page_sharing",
    "pages_scanned": "vmdedup_ksmd_pages_scanned_total",
    "pages_skipped": "vmdedup_ksmd_pages_skipped_total",
    "stable_node_chains": "vmdedup_ksmd_stable_node_chains",
    "stable_node_dups": "vmdedup_ksmd_stable_node_dups",
}
_GUEST, _PROCESS = ("guest", "group"), ("pid", "name")
_METRICS: Final = (
    *(Metric(name, f"KSM's file {file}, in base units") for file, name in KSMD.items()),
    Metric("node_memory_MemTotal_bytes", "memory of the host"),
    Metric("node_memory_MemFree_bytes", "memory that nobody has"),
    Metric("node_memory_MemAvailable_bytes", "memory to be had without swapping"),
    Metric("vmdedup_ksmd_cpu_seconds_total", "CPU time of ksmd: billed for an emulated one, real for the kernel's"),
    Metric("vmdedup_ksmd_pass_seconds", "how long the last full scans took each, as far as any ended between scrapes"),
    Metric("vmdedup_emulated_seconds_total", "seconds of the emulated host's time"),
    Metric("vmdedup_guests", "guests alive"),
    Metric("vmdedup_used_bytes", "host memory that guests' pages take"),
    Metric("vmdedup_if_all_diverge_bytes", "host memory that they would take if no page were shared any more"),
    Metric("vmdedup_saved_bytes", "saved: of zeros, within one guest, between guests", ("kind",)),
    Metric("vmdedup_possible_bytes", "saved if each content were kept once"),
    Metric("vmdedup_cow_breaks_total", "writes that found a merged page and got a copy"),
    Metric("vmdedup_huge_pages", "huge pages that guests' memory is mapped by"),
    Metric("vmdedup_huge_pages_split_total", "huge pages that were split"),
    Metric("vmdedup_freed_uncounted_bytes", "zeros that splits of huge pages freed, which the kernel counts nowhere"),
    Metric("vmdedup_guest_allocated_bytes", "pages of a guest with content of their own", _GUEST),
    Metric("vmdedup_guest_used_bytes", "a guest's part of the host memory used", _GUEST),
    Metric("vmdedup_guest_saved_bytes", "what a guest saves, by kind", (*_GUEST, "kind")),
    Metric("vmdedup_guest_profit_bytes", "ksm_process_profit of a guest", _GUEST),
    Metric("vmdedup_shared_pages", "frames that two guests both map, zeros left out", ("guest_a", "guest_b")),
    Metric("vmdedup_process_merged_bytes", "pages of a process that are merged", _PROCESS),
    Metric("vmdedup_process_zero_bytes", "pages of a process that KSM replaced by the zero page", _PROCESS),
    Metric("vmdedup_process_profit_bytes", "ksm_process_profit of a process", _PROCESS),
)
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _METRICS}


def ksmd_figures(ksm: Mapping[str, int]) -> Iterator[Figure]:
    """Of KSM's files, as far as there are names."""
    for file, name in KSMD.items():
        if file in ksm:
            yield Figure(name, ksm[file] / 1000 if file == "sleep_millisecs" else ksm[file])


class PassTimer:
    """How long full scans take, seen from time to time."""

    def __init__(self) -> None:
        self._since: tuple[float, int] | None = None
        self._took: float | None = None

    def look(self, now: float, full_scans: int) -> Iterator[Figure]:
        """The time of a pass, once two looks have one between them. now: seconds."""
        if self._since is not None and full_scans > self._since[1]:
            self._took = (now - self._since[0]) / (full_scans - self._since[1])
        if self._since is None or full_scans != self._since[1]:
            self._since = now, full_scans
        if self._took is not None:
            yield Figure("vmdedup_ksmd_pass_seconds", self._took)


def by_metric(figures: Sequence[Figure]) -> dict[Metric, list[Figure]]:
    """Figures in the order of METRICS."""
    found: dict[Metric, list[Figure]] = {metric: [] for metric in _METRICS}
    for figure in figures:
        found[METRICS[figure.name]].append(figure)
    return {metric: each for metric, each in found.items() if each}
