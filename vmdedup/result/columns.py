"""Every column of the tables of a run, with meaning and unit. Pages are the host's (page_size in run.json).

A series row also has each counter and number of /sys/kernel/mm/ksm, under the kernel's name.
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
    "ksmd_cpu_s": "CPU seconds of ksmd so far: by page_cost in lockstep, measured in wall mode",
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
    "ksm_rmap_items": "as in /proc/PID/ksm_stat",
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
