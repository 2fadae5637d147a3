"""Daemons that steer ksmd: what they read of the host, the law of each, and a policy for each: KSM under it."""
