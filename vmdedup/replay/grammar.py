"""The grammar of KSM scripts in short, as `vmdedup replay --help` has it; docs/scripts.md has the whole of it."""

from __future__ import annotations

USAGES = {
    "vm": "vm NAME PAGES [node=N] [huge|anysize] [plain|merge_any]",
    "fork": "fork NAME CHILD",
    "exit": "exit NAME",
    "exec": "exec NAME [mergeable]",
    "fill": "fill NAME RANGE CONTENT",
    "poke": "poke NAME PAGE OFFSET BYTE",
    "read": "read NAME RANGE",
    "discard": "discard NAME RANGE",
    "unmap": "unmap NAME RANGE",
    "mergeable": "mergeable NAME RANGE",
    "unmergeable": "unmergeable NAME RANGE",
    "prctl": "prctl NAME 0|1",
    "hugepage": "hugepage NAME RANGE",
    "nohugepage": "nohugepage NAME RANGE",
    "collapse": "collapse NAME RANGE",
    "pageout": "pageout NAME RANGE",
    "node": "node NAME N",
    "migrate": "migrate NAME RANGE N [all]",
    "cgroup": "cgroup NAME",
    "reclaim": "reclaim BYTES",
    "swapon": "swapon [disk|zram]",
    "swapoff": "swapoff",
    "set": "set KNOB VALUE",
    "sys": "sys FILE VALUE",
    "wait": "wait MS",
    "drain": "drain [on|off]",
    "scan": "scan N",
    "pass": "pass [N]",
    "counters": "counters",
    "sharing": "sharing",
    "digest": "digest",
    "kinds": "kinds",
    "nodes": "nodes",
    "mem": "mem",
    "status": "status NAME",
    "show": "show FILE",
}
"""Each step's word, and how the step is written."""

SHORT = """One step a line; # starts a comment. Numbers are decimal or 0x-hexadecimal.

\b
  vm NAME PAGES [OPTIONS]     start a process with one mapping, mergeable and of small pages
  fork NAME CHILD             fork(2)
  exit NAME                   end it
  exec NAME [mergeable]       execve(2): the mapping is a new one
  fill NAME RANGE CONTENT     store CONTENT in each page
  poke NAME PAGE OFFSET BYTE  store one byte
  read NAME RANGE             load one byte of each page
  discard NAME RANGE          madvise(MADV_DONTNEED)
  unmap NAME RANGE            munmap
  mergeable NAME RANGE        madvise(MADV_MERGEABLE)
  unmergeable NAME RANGE      madvise(MADV_UNMERGEABLE)
  prctl NAME 0|1              PR_SET_MEMORY_MERGE
  hugepage NAME RANGE         madvise(MADV_HUGEPAGE)
  nohugepage NAME RANGE       madvise(MADV_NOHUGEPAGE)
  collapse NAME RANGE         madvise(MADV_COLLAPSE)
  pageout NAME RANGE          madvise(MADV_PAGEOUT)
  node NAME N                 mbind: the mapping belongs on NUMA node N
  migrate NAME RANGE N [all]  move_pages; all: those that others map, too
  cgroup NAME                 into the memory cgroup that is reclaimed from
  reclaim BYTES               have that much of the cgroup reclaimed
  swapon [disk|zram]          there is swap from now on: a disk, or compressed memory
  swapoff                     there is none any more
  set KNOB VALUE              write a file of /sys/kernel/mm/ksm
  sys FILE VALUE              write a file below /sys/kernel/mm or /proc/sys/vm
  wait MS                     wait
  drain [on|off]              empty per-CPU lists of pages; on: before each batch (is on)
  scan N                      ksmd scans a batch of at most N pages
  pass [N]                    ksmd scans to the end of the full scan, N times
  counters                    print the counters, of KSM and of each process
  sharing                     print which pages share a physical page
  digest                      print a SHA-256 of each process's memory
  kinds                       print what each page is mapped by
  nodes                       print the NUMA node of each page
  mem                         print changes of /proc/vmstat, and what each mapping takes
  status NAME                 print a process's ksm_stat
  show FILE                   print a file below /sys/kernel/mm or /proc/sys/vm

OPTIONS of vm: node=N binds the mapping to a NUMA node; huge: MADV_HUGEPAGE, anysize: no advice about huge
pages; plain: not mergeable; merge_any: PR_SET_MEMORY_MERGE instead. RANGE is one page, or LOW..HIGH with both
ends; the first page is 0. CONTENT is zero, key K, seed S or file PATH [PAGE]; with K+ or S+ each page has a
number one higher. docs/scripts.md has it all, with what each step prints, and who can do it.
"""
