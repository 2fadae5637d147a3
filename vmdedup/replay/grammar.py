"""The grammar of KSM scripts in short, as `vmdedup replay --help` has it; docs/scripts.md has the whole of it."""

from __future__ import annotations

USAGES = {
    "vm": "vm NAME PAGES",
    "fork": "fork NAME CHILD",
    "exit": "exit NAME",
    "fill": "fill NAME RANGE CONTENT",
    "poke": "poke NAME PAGE OFFSET BYTE",
    "read": "read NAME RANGE",
    "discard": "discard NAME RANGE",
    "unmap": "unmap NAME RANGE",
    "mergeable": "mergeable NAME RANGE",
    "unmergeable": "unmergeable NAME RANGE",
    "set": "set KNOB VALUE",
    "scan": "scan N",
    "pass": "pass [N]",
    "counters": "counters",
    "sharing": "sharing",
    "digest": "digest",
}
"""Each step's word, and how the step is written."""

SHORT = """One step a line; # starts a comment. Numbers are decimal or 0x-hexadecimal.

\b
  vm NAME PAGES               start a process with one mergeable mapping
  fork NAME CHILD             fork(2)
  exit NAME                   end it
  fill NAME RANGE CONTENT     store CONTENT in each page
  poke NAME PAGE OFFSET BYTE  store one byte
  read NAME RANGE             load one byte of each page
  discard NAME RANGE          madvise(MADV_DONTNEED)
  unmap NAME RANGE            munmap
  mergeable NAME RANGE        madvise(MADV_MERGEABLE)
  unmergeable NAME RANGE      madvise(MADV_UNMERGEABLE)
  set KNOB VALUE              write a file of /sys/kernel/mm/ksm
  scan N                      ksmd scans a batch of at most N pages
  pass [N]                    ksmd scans to the end of the full scan, N times
  counters                    print the counters, of KSM and of each process
  sharing                     print which pages share a physical page
  digest                      print a SHA-256 of each process's memory

RANGE is one page, or LOW..HIGH with both ends; the first page is 0. CONTENT is zero, key K, seed S or file PATH
[PAGE]; with K+ or S+ each page has a number one higher. docs/scripts.md has it all, with what each step prints.
"""
