"""What random scripts store in tunables: values that are taken, and values that are refused.

run and advisor_mode have steps of their own and so no entry among TAKEN. PRUNES make no use of time: chains
are pruned in every search, or never while a script runs.
"""

from __future__ import annotations

NUMBERS = ("0", "1", "7", "+3", "100", "4294967295")
NO_NUMBERS = ("-1", "4294967296", "0x10", "1e3", "x", "99999999999999999999999")
TRUTHS = ("0", "1", "y", "n", "on", "off", "Y", "true", "false")
PRUNES = ("0", "3600000", "2147483647", "2147483648", "4294967295")

TAKEN = {
    "smart_scan": TRUTHS,
    "use_zero_pages": TRUTHS,
    "max_page_sharing": ("2", "3", "4", "8", "256", "2147483647"),
    "merge_across_nodes": ("0", "1"),
    "pages_to_scan": NUMBERS,
    "sleep_millisecs": NUMBERS,
    "stable_node_chains_prune_millisecs": PRUNES,
    "advisor_max_cpu": (*NUMBERS, "18446744073709551615"),
    "advisor_min_pages_to_scan": NUMBERS,
    "advisor_max_pages_to_scan": NUMBERS,
    "advisor_target_scan_time": ("1", "200", "18446744073709551615"),
}
REFUSED = {
    "run": ("3", "-1", "on", "4294967296"),
    "smart_scan": ("2", "-1", "o", "x"),
    "use_zero_pages": ("2", "+1", "o", "x"),
    "max_page_sharing": ("0", "1", "-5", "2147483648", "0x10", "-2147483649"),
    "merge_across_nodes": ("2", "-1", "y", "18446744073709551616"),
    "pages_to_scan": NO_NUMBERS,
    "sleep_millisecs": NO_NUMBERS,
    "stable_node_chains_prune_millisecs": NO_NUMBERS,
    "advisor_mode": ("0", "scan", "Scan-time", "none0"),
    "advisor_max_cpu": ("-1", "y", "18446744073709551616"),
    "advisor_min_pages_to_scan": ("-1", "0x10", "18446744073709551616"),
    "advisor_max_pages_to_scan": ("-1", "1.0", "18446744073709551616"),
    "advisor_target_scan_time": ("0", "-1", "18446744073709551616"),
}
