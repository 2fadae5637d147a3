"""Real guests of a scenario: planned, started, measured under the kernel's own ksmd."""
