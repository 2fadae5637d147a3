"""The leak meter: what a guest can learn of another by the time of its own accesses, by room left, by pace."""
