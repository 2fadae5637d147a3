"""What monitoring reads of a host: its KSM's files as figures, and pages of metrics for Prometheus."""
