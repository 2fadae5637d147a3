"""Which guest on which host: fleets, algorithms of placement, what they promise, and what emulated hosts deliver."""
