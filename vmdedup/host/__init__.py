"""Host memory: frames, page tables and copy-on-write, in shared memory where guests and scanners meet.

Guests and scanners never talk to each other. A page table entry and a frame are all that either sees of the
other, as it is in hardware; that makes a scanner replaceable and a guest killable. layout.py draws the
segment.
"""
