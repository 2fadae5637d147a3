"""Published experiments, run again: the papers' figures as data, stand-ins for their workloads, and verdicts."""
