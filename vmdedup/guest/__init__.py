"""Guests: virtual machines with a memory of their own, real files in it, and work to do.

    GuestSpec ─► GuestProcess (parent) ═══pipe═══ Guest (worker process)          one, or a crew, a process
                                                   │
             disk ─► variant ─► filesystem ─► guest kernel ─► host memory      content goes to the right
        (shared list   (release)  (written     │  placement: where things lie
           of files)               pages)      │  physical: who gets which page, what a freed page holds
                                               │  page cache: least recently used first out
                                               │  processes: mapped text, heaps made by a stated mix
                                               └─ workload: what it does for each millisecond of virtual time

Everything random comes from the guest's one seed, split by hash; nothing depends on wall time, so a guest
stores the same bytes into the same pages in the same order in every run.
"""
