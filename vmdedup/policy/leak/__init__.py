"""The leak meter: what a guest can learn of another from the time of its own writes and reads."""
