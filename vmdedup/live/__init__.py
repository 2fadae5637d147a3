"""The host's own kernel: its KSM driven step by step, its counters, processes whose pages it merges."""
