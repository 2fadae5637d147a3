"""The kernel's own KSM: its files, its ksmd step by step or free, one user at a time, as before afterwards."""
