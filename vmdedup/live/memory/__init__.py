"""The memory of real processes, read from outside: frames, contents, huge pages."""
