"""XLH: KSM that looks first at pages which guests have just read from, or are writing to, their disks.

`stack` keeps hints, `scan` looks at pages, `tree` and `hash_table` are what a page without partner waits in, `reach`
measures how much of that a search can find, `ksmd` puts hints and linear scan in turns, `policy` is the whole.

Source: Miller et al., XLH: More Effective Memory Deduplication Scanners Through Cross-layer Hints, USENIX ATC 2013.
"""
