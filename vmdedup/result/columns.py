"""Every column of the tables of a run, with meaning and unit. Pages are the host's (page_size in run.json).

The last part of a name is its unit: _pages, _frames, _bytes, _s (seconds); no unit: a count, or the kernel's own name.
Documents have the same figures in _mib and _seconds, which tests/result/test_names.py holds. docs/glossary.md says what
the words mean.

A series row also has each counter and number of /sys/kernel/mm/ksm, under the kernel's name; that of a run with
another policy has that policy's own counters in their place, and the columns of POLICY.
"""

from __future__ import annotations

from typing import Final

SERIES: Final = {
    "time_s": "seconds since the run began: virtual in lockstep, real in wall mode",
    "guests": "guests alive",
    "allocated_pages": "guest pages with content of their own, KSM's zero pages included",
    "used_pages": "host frames that these pages take",
    "saved_pages": "allocated_pages - used_pages",
    "zero_pages": "saved pages whose content is all zero",
    "within_guest_pages": "saved pages, not zero, that share with a page of the same guest",
    "between_guests_pages": "saved pages, not zero, that share with another guest",
    "possible_pages": "what saved_pages would be if every content were kept once (exact hashing)",
    "cow_breaks": "writes that found a merged page and got a copy, so far",
    "ksmd_cpu_s": "CPU seconds of ksmd so far: by the prices that run.json names, or measured (wall mode, a kernel)",
}

# Tunables in each row of a series: what may change during a run by itself, or says how counters are to be read.
SHOWN_KNOBS: Final = ("pages_to_scan", "sleep_millisecs", "use_zero_pages", "run")

# Of runs of real guests, and of emulated ones with huge pages.
REAL: Final = {
    "split_zero_pages": "pages of zeros freed when ksmd split huge pages; counted nowhere by the kernel, not in saved",
}

# Of hosts with huge pages.
HUGE: Final = {
    "huge_pages": "huge pages (2 MiB each) that guests' memory is mapped by now",
    "thp_fault_alloc": "huge pages that first stores brought, so far",
    "thp_collapse_alloc": "huge pages that khugepaged put together, so far",
    "thp_split_page": "huge pages that were split, so far",
    "needless_pages": "pages of zeros inside huge pages: memory that small pages would not take",
}

# Of hosts that say their memory, or have swap. With swap, saved_pages has the pages in swap too, less swap_frames.
PRESSURE: Final = {
    "mem_available_pages": "frames to be had before anybody waits, as MemAvailable: free, less the high watermark",
    "swap_used_pages": "pages that the swap device has",
    "swap_stored_bytes": "bytes that they take there: compressed (zram, zswap), or as they are",
    "swap_frames": "host frames that compressed pages of swap are in",
    "pswpin": "pages read back from swap because a guest used them, so far; of zswap, those of its pool too",
    "pswpout": "pages written to swap, so far; of zswap, those into its pool too",
    "waited_s": "seconds that guests have lost waiting for memory, so far, all guests together",
    "memory_some": "share of time since the row before with at least one guest waiting for memory (PSI, some): 0 to 1",
    "memory_full": "share of time since the row before with all guests waiting for memory (PSI, full): 0 to 1",
    "oom_kills": "guests killed because no memory was left, so far",
}

# What a policy keeps in other forms than whole pages, and what that saves. Then saved_pages is the sum of what
# sharing saves (zero + within_guest + between_guests), patch_saved, compress_saved, swapped and filled pages, less
# held_frames.
POLICY: Final = {
    "patched_pages": "pages kept as a patch against a reference page",
    "compressed_pages": "pages kept compressed",
    "swapped_pages": "pages in the swap area, which is not host memory",
    "filled_pages": "pages of one repeated word, kept as that word",
    "patch_bytes": "size of all patches",
    "compressed_bytes": "size of all compressed pages",
    "storage_frames": "host frames that hold patches and compressed pages",
    "reference_frames": "host frames that no guest maps, kept because patches refer to them",
    "held_frames": "other host frames that no guest maps: the policy holds them",
    "patch_saved_pages": "patched_pages, less reference_frames and the patches' part of storage_frames by bytes",
    "compress_saved_pages": "compressed_pages, less their part of storage_frames by bytes",
    "unpatched": "patched pages rebuilt because a guest used them, so far",
    "uncompressed": "compressed or filled pages rebuilt because a guest used them, so far",
    "swapped_in": "swapped pages read back because a guest used them, so far",
    "guests_cost_s": "CPU and waiting of guests for copies and rebuilt pages so far, by the prices of policy.work",
}

GUESTS: Final = {
    "guest": "name: its group and a number",
    "group": "name of the group in the scenario",
    "mm": "index of its address space on the host",
    "state": "running, paused, left, killed or failed",
    "memory_pages": "memory that the guest believes it has",
    "allocated_pages": "as in the series",
    "used_pages": "its share of the frames: a frame that g guests map counts 1/g to each",
    "saved_pages": "allocated_pages - used_pages",
    "zero_pages": "its part of the saving, as in the series",
    "within_guest_pages": "its part of the saving, as in the series",
    "between_guests_pages": "its part of the saving, as in the series",
    "ksm_rmap_items": "as in /proc/PID/ksm_stat; like those below, null if who scans broke down",
    "ksm_zero_pages": "as in /proc/PID/ksm_stat",
    "ksm_merging_pages": "as in /proc/PID/ksm_stat",
    "ksm_process_profit": "as in /proc/PID/ksm_stat, bytes",
}

MATRIX: Final = {
    "guest_a": "name of a guest",
    "guest_b": "name of a later guest, or the same: frames that it maps more than once",
    "shared_frames": "frames that both map, content not zero",
    "zero_frames": "frames of zeros that both map",
}

TIMING: Final = {
    "time_s": "as in the series",
    "wall_s": "real seconds since the run began",
    "guests_wall_s": "real seconds spent waiting for guests, since the sample before",
    "ksmd_wall_s": "real seconds spent waiting for ksmd, since the sample before",
    "sample_wall_s": "real seconds that taking this sample took",
    "ksmd_cpu_measured_s": "CPU seconds of the emulated ksmd's process so far",
}
