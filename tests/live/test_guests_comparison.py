"""How a comparison of kernel and emulator is shown."""

from vmdedup.live.scripts.comparison import document, render
from vmdedup.live.scripts.verify import Scan, Verification

EQUAL = Scan(1, {"pages_shared": 0, "a.ksm_rmap_items": 12345}, {"pages_shared": 0, "a.ksm_rmap_items": 12345})
OTHER = Scan(2, {"pages_shared": 5, "a.ksm_rmap_items": 12345}, {"pages_shared": 6, "a.ksm_rmap_items": 12345})


def found(*scans: Scan) -> Verification:
    return Verification({"smart_scan": "0"}, {"a": 12345, "b": 1}, {"a": 512, "b": 0}, scans)


def test_a_table() -> None:
    assert render(found(EQUAL, OTHER)).splitlines() == [
        "12,346 pages (a 12,345, b 1), 512 of them in huge pages; smart_scan=0",
        "                  scan 1  scan 2",
        "pages_shared           0     5≠6",
        "a.ksm_rmap_items  12,345  12,345",
        "DIFFERENT: 1 of 2 counters (kernel≠emulator)",
    ]
    assert render(found(EQUAL)).endswith("\nequal: 2 counters after each of 1 full scans")


def test_a_document() -> None:
    told = document([found(EQUAL), found(EQUAL, OTHER)])
    assert (told["schema_version"], told["equal"]) == (1, False)
    assert [one["equal"] for one in told["comparisons"]] == [True, False]
    assert told["comparisons"][1]["scans"][1]["differences"] == ["pages_shared"]
    assert document([])["equal"]
