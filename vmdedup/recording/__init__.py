"""The memory of guests over time, in one file that keeps each content once."""
