"""Which settings reach a goal: a search over KSM's tunables and controllers, by emulated runs."""
