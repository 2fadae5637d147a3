"""Where the guests of a run have their memory, and who scans it: the emulator, or the kernel under us."""
