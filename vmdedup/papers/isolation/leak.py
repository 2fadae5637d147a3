"""What a guest can tell of another by times of accesses, room and pace, under policies that share and that defend."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vmdedup.leak.attack import Attack, Leak
from vmdedup.leak.meter import measure_leak
from vmdedup.leak.verdict import PERCENTILES
from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Published

NOISE_NS: Final = 5_000
NO_LIMIT: Final = {"host_pages_per_second": "0", "vm_pages_per_second": "0"}
# Policy, its tunables, and whether attacker and victim are of one domain.
TRIALS: Final = {
    "KSM": ("ksm", {}, False),
    "KSM in domains": ("ksm_domains", {}, False),
    "KSM in domains, one tenant": ("ksm_domains", {}, True),
    "zero pages only": ("zero_only", {}, False),
    "ESX": ("esx", NO_LIMIT, False),
    "ESX, salt per VM": ("esx", {**NO_LIMIT, "salting": "2"}, True),
    "VUsion": ("vusion", {}, True),
}
# An area by chance alone, with 256 and 256 times, has a standard deviation of 0.026.
BY_CHANCE: Final = 0.1
# Whatever is saved of the victim's pages and the attacker's shows in how many pages more fit.
ROOM_TELLS: Final = frozenset({"KSM", "ESX", "VUsion", "KSM in domains, one tenant"})
_NOTE: Final = (
    "Times have a noise of 5 µs. First writes: to a merged page under KSM, median. Attackers are of other tenants than "
    "their victims; VUsion's, the salted one's and that of one tenant are of the same, where it would be easiest. "
    "Room left and pace of merging: bits that one trial tells, of 8.0 that there are of how many of 256 guesses are "
    "right, and of 10.8 of how many pages the victim has; 0 where chance shows as much."
)


def leak(bench: Bench, published: Published) -> Finding:
    """The same attack under each policy."""
    pages, trials = (2048, 12) if bench.quick else (8192, 16)
    attack = Attack(pages=pages, guesses=256, noise=NOISE_NS, trials=trials, seed=1000 * (bench.seed - 1) + 1)
    found = {}
    for label, (name, tunables, together) in TRIALS.items():
        bench.say(f"leak: {label}")
        found[label] = measure_leak(name, replace(attack, together=together), tunables)
    curves = [
        Curve(kind, [each / 1000 for each in times], PERCENTILES, label)
        for label in ("KSM", "VUsion")
        for kind, times in (
            ("merged", found[label].right_percentiles_ns),
            ("private", found[label].wrong_percentiles_ns),
        )
    ]
    for where, key in (("natively", "native"), ("in a KVM guest", "guest")):
        time = published.levels[f"first_write_{key}_us"].value
        curves.append(Curve(f"merged, {where}", [time, time], [0, 50], "KSM", PAPER))
    axes = ("first write to an idle page takes at most, µs", "% of writes")
    rows = [*_times(found, published), *_areas(found), *_rates(found, published, 4 * attack.guesses)]
    return Finding([*rows, *_channels(found)], _NOTE, axes, curves)


def _times(found: dict[str, Leak], published: Published) -> list[Row]:
    ksm, vusion, levels = found["KSM"], found["VUsion"], published.levels
    write = ksm.right_ns / 1000
    slower = ksm.right_ns > 2 * ksm.wrong_ns
    claim = "to a merged page slower than to a private one"
    accesses = (vusion.right_ns, vusion.wrong_ns, vusion.read_right_ns, vusion.read_wrong_ns)
    apart = (max(accesses) - min(accesses)) / 1000
    return [
        Row("first write, natively", "µs", levels["first_write_native_us"], write, claim, slower, put_in=True),
        Row("first write, in a KVM guest", "µs", levels["first_write_guest_us"], write, claim, slower, put_in=True),
        Row(
            "VUsion: slowest less fastest median",
            "µs",
            None,
            apart,
            "any first access takes as long (within 2 µs)",
            apart < 2,
        ),
    ]


def _areas(found: dict[str, Leak]) -> list[Row]:
    rows = []
    for label in ("ESX, salt per VM", "VUsion"):
        for kind, area in (("writes", found[label].auc), ("reads", found[label].read_auc)):
            rows.append(Row(f"{label}: AUC of {kind}", "", None, area, "by chance", _blind(area)))
    for label in ("KSM in domains", "zero pages only"):
        area = found[label].auc
        rows.append(Row(f"{label}: AUC", "", None, area, "another tenant's pages are not told", _blind(area), own=True))
    for label in ("KSM", "ESX", "KSM in domains, one tenant"):
        area = found[label].auc
        own = label == "KSM in domains, one tenant"
        rows.append(Row(f"{label}: AUC", "", None, area, "merged pages are told", area > 0.9, own))
    return rows


def _blind(area: float) -> bool:
    return abs(area - 0.5) <= BY_CHANCE


def _rates(found: dict[str, Leak], published: Published, accesses: int) -> list[Row]:
    """Bytes an hour, and what hiding them takes: copies an access, and whether as much is saved."""
    remote, ksm, vusion = published.levels["bytes_per_hour_over_internet"].value, found["KSM"], found["VUsion"]
    more, few = ksm.bytes_per_hour > remote, vusion.bytes_per_hour < remote
    copies, saved = vusion.copies / accesses, 100 * vusion.saved_pages / max(1, ksm.saved_pages)
    internet = f"than the {remote:g} over the internet"
    return [
        Row("KSM: from the same host", "B/h", None, ksm.bytes_per_hour, f"more {internet}", more, own=True),
        Row("VUsion: from the same host", "B/h", None, vusion.bytes_per_hour, f"less {internet}", few, own=True),
        Row("VUsion: copies an access to an idle page", "", None, copies, "each makes one", copies == 1),
        Row("VUsion: saved during the attack, of KSM's", "%", None, saved, "nearly as much", saved > 95),
    ]


def _channels(found: dict[str, Leak]) -> list[Row]:
    """What each policy closes, and what not, of channels that need no time of an access. No paper has figures."""
    rows = []
    for label, leak in found.items():
        room, pace = (channel.bits for channel in leak.channels)
        rows.append(_told(f"{label}: room left", room, label in ROOM_TELLS, "how many guesses are right"))
        if not label.startswith("ESX"):  # its pages are drawn by lot: more trials than these would tell
            rows.append(_told(f"{label}: pace of merging", pace, True, "how large the victim is"))
    return rows


def _told(figure: str, bits: float, tells: bool, what: str) -> Row:
    claim = f"{what} is {'told' if tells else 'not told'}"
    return Row(figure, "bits", None, bits, claim, (bits > 0) == tells, own=True)


EXPERIMENTS = (
    Experiment(
        "leak",
        "Leaks: what the time of an access tells",
        "leak",
        "Two emulated guests of 32 MiB in place of real ones with secrets: the attacker plants 256 pages that the "
        "victim has and 256 that nobody has, waits until the policy has had its chance, writes to each, and does the "
        "same with reads. Fair as to who is told what, which follows from the mechanism alone; times are modelled: a "
        "copy costs what Difference Engine's table 2 says, 25.1 µs, an access of one's own 54 cycles, so that the "
        "first two rows compare two measurements of others. Bytes an hour: one bit a guess at most, all at once. Room "
        "left and pace of merging are tried 16 times each, on guests of at most 8 MiB with nobody else on the host.",
        leak,
    ),
)
