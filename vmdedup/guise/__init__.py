"""An emulated host in the guise of a real one: its files under /sys and /proc, in a namespace or under a folder."""
