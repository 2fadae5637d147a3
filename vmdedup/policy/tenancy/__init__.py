"""Sharing that guests cannot use against each other: within a domain only, zero pages only, or fake merging."""
