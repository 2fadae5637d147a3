"""Kernel Samepage Merging as Linux 6.18 has it: one ksmd, a stable and an unstable tree.

Why two trees. A page may change while it is compared, so a tree ordered by content cannot be trusted unless its
pages cannot change. Merged pages cannot: they are mapped read-only. They form the *stable* tree, whose order always
holds. All others form the *unstable* tree, whose order may have been broken by writers since; a search in it may
miss a page or take a wrong turn, but never merges what differs, because two pages are compared again after both
are write-protected. Pages that changed since the last visit are kept out of it by their checksum, and the tree is
thrown away at the start of each full scan, so that errors do not add up.

How a page goes through (scan.py):

    next candidate ─► smart scan skips it? ─► already merged? ─► checksum changed? ─► zero page?
                                                                        │ no
              stable tree holds it ─► merge into that frame  ◄── stable tree ──► unstable tree
                                                                   no match │        │ match: the pair becomes
                                                                            ▼        ▼ a new stable node
                                                                     insert there

Names are the kernel's. layout.py declares the records: rmap_item (one for each page of a guest, where the kernel
allocates one for each page it has seen), stable_node, mm_slot and the engine's own state.
"""
