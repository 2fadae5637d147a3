"""What isolation costs in savings: all guests, tenants, each guest alone, zero pages only, and VUsion."""

from __future__ import annotations

from typing import Any, Final

from vmdedup.papers.bench.base import Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import Data, generated, last, mib, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Published
from vmdedup.result.run import Result

TENANTS, EACH, MIB = 2, 2, 16
GLOBAL, VUSION = "all guests", "VUsion"
POLICIES: Final[dict[str, dict[str, Any]]] = {
    GLOBAL: {"name": "ksm_domains", "tunables": {"scope": 0}},
    "tenants": {"name": "ksm_domains", "tunables": {"scope": 1}},
    "each guest": {"name": "ksm_domains", "tunables": {"scope": 2}},
    "zero pages only": {"name": "zero_only"},
    VUSION: {"name": "vusion"},
}


def isolation_cost(bench: Bench, published: Published) -> Finding:
    """Savings at the end by who may share, on tenants alike and unlike; then VUsion's price where guests work."""
    saved = {}
    for kind in ("alike", "unlike"):
        for label, policy in POLICIES.items():
            result = bench.run(_scenario(bench, kind, "idle", policy))
            saved[kind, label] = last(result, "saved_pages")
    curves = [
        Curve(f"{k} tenants", list(POLICIES), mib([saved[k, at] for at in POLICIES])) for k in ("alike", "unlike")
    ]
    lost = {at: 100 * (1 - pages / max(1.0, saved[at[0], GLOBAL])) for at, pages in saved.items()}
    rows = [*_tenant_rows(lost), *_order_rows(lost), *_vusion_rows(bench, lost)]
    alike, unlike = mib([saved["alike", GLOBAL], saved["unlike", GLOBAL]])
    note = (
        f"Where all guests share: {alike:.1f} MiB saved if they are alike, {unlike:.1f} if not. Time for copies: per "
        "cent of the guests' time; KSM merges pages in use, too, which VUsion leaves alone."
    )
    return Finding(rows, note, ("who may share", "saved at the end, MiB"), curves)


def _scenario(bench: Bench, kind: str, workload: str, policy: Data) -> Data:
    """Two tenants with two guests each; every guest has the same disk, or each tenant one of its own."""
    groups = [
        {
            "name": f"tenant{tenant}",
            "count": EACH,
            "memory": f"{MIB}MiB",
            "workload": workload,
            "kernel_mib": 2,
            "disk": generated(48, tenant if kind == "unlike" else 0),
            "domain": tenant + 1,
        }
        for tenant in range(TENANTS)
    ]
    return scenario(f"tenants-{kind}", 6 if bench.quick else 15, policy, groups, pages=400)


def _tenant_rows(lost: dict[tuple[str, str], float]) -> list[Row]:
    alike, unlike = lost["alike", "tenants"], lost["unlike", "tenants"]
    less = unlike < alike
    return [
        Row("unlike tenants: lost by domains", "%", None, unlike, "next to nothing (under 5 %)", unlike < 5),
        Row("alike tenants: lost by domains", "%", None, alike, "more than by unlike ones", less),
    ]


def _order_rows(lost: dict[tuple[str, str], float]) -> list[Row]:
    rows = []
    for kind in ("alike", "unlike"):
        tenants, alone, zero = (lost[kind, label] for label in ("tenants", "each guest", "zero pages only"))
        rows += [
            Row(f"{kind}: lost, each guest alone", "%", None, alone, "more than by tenants", alone > tenants, own=True),
            Row(f"{kind}: lost, zero pages only", "%", None, zero, "more than by guests alone", zero > alone, own=True),
        ]
    most = lost["alike", "each guest"]
    rows[0] = Row("alike: lost, each guest alone", "%", None, most, "small alike guests lose nearly all", most > 80)
    return rows


def _vusion_rows(bench: Bench, lost: dict[tuple[str, str], float]) -> list[Row]:
    """What is left of savings on idle guests; on busy ones what it costs them, beside KSM."""
    busy = {label: bench.run(_scenario(bench, "alike", "database", POLICIES[label])) for label in (GLOBAL, VUSION)}
    kept = 100 - lost["alike", VUSION]
    saved = 100 * last(busy[VUSION], "saved_pages") / max(1.0, last(busy[GLOBAL], "saved_pages"))
    cost, ksm = _cost(busy[VUSION]), _cost(busy[GLOBAL])
    return [
        Row("VUsion, idle guests: saved, of KSM's", "%", None, kept, "most is kept", kept > 80),
        Row("VUsion, busy guests: saved, of KSM's", "%", None, saved, "most is kept", saved > 80),
        Row("VUsion, busy guests: time for copies", "%", None, cost, "next to nothing", cost < 1),
        Row("KSM, busy guests: time for copies", "%", None, ksm),
    ]


def _cost(result: Result) -> float:
    """What guests paid for copies, per cent of their time."""
    return 100 * last(result, "guests_cost_s") / (TENANTS * EACH * last(result, "time_s"))


EXPERIMENTS = (
    Experiment(
        "isolation-cost",
        "Isolation: what it costs in savings",
        "isolation_cost",
        "Two tenants with two guests of 16 MiB each, on one generated disk (alike) or on a disk of its own for each "
        "tenant (unlike), idle after their boot, in place of hosts in a data centre; web servers with databases for "
        "VUsion's price. Fair as to who has what in common, which is what domains cut through; how much the guests of "
        "one tenant have in common is ours.",
        isolation_cost,
    ),
)
