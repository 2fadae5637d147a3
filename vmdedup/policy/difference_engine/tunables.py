"""Difference Engine's tunables; the defaults are the paper's, where it names one.

It names none for compress_cut_off ("reasonably high" compression; half a page, as for patches), portion and compaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmdedup.ksm.sysfs import Tunable
from vmdedup.subpage.delta import CUT_OFF

_SWITCH = 1
TUNABLES: Final[Mapping[str, Tunable]] = {
    tunable.name: tunable
    for tunable in (
        Tunable("sharing", 1, "whether equal pages are shared", high=_SWITCH),
        Tunable("patching", 1, "whether similar pages are patched", high=_SWITCH),
        Tunable("compression", 1, "whether idle pages are compressed", high=_SWITCH),
        Tunable("scan_interval_millisecs", 4000, "least time between two scans of all memory", "ms"),
        Tunable("portion", 256, "pages of each guest that are scanned in turn", "pages", low=1, high=1024),
        Tunable("hash_intervals", 5, "passes in which all hashes have had their turn", low=1, high=31),
        Tunable("zero_page", 0, "whether zero pages take no frame, instead of a shared one", high=_SWITCH),
        Tunable("detector_k", 2, "signatures of a page", low=1, high=8),
        Tunable("detector_s", 1, "blocks of 64 bytes in a signature", low=1, high=8),
        Tunable("detector_c", 1, "pages remembered for each signature", low=1, high=16),
        Tunable("detector_bits", 18, "bits of a signature", low=4, high=24),
        Tunable("patch_cut_off", CUT_OFF, "largest patch that is worth its page", "bytes", high=4096),
        Tunable("delta", 0, "how patches are made; 0: lz4, copies and new bytes, as xdelta; 1: zstd", high=1),
        Tunable("compress_cut_off", 2048, "largest compressed page that is worth its page", "bytes", high=4096),
        Tunable("codec", 2, "0: lz4; 1: zstd; 2: LZO, as in the paper", high=2),
        Tunable("everything_c4", 0, "1: every page is taken for long idle", high=_SWITCH),
        Tunable("compress_before_patch", 0, "1: long idle pages are compressed before patching is tried", high=_SWITCH),
        Tunable("compaction", 25, "frames of storage filled no more than this are emptied; 0: never", "%", high=50),
        Tunable("swap_high", 0, "host memory in use at which swapping starts; 0: never", "%", high=100),
        Tunable("swap_low", 0, "host memory in use at which swapping stops", "%", high=100),
    )
}
