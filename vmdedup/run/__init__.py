"""Runs: guests at work on a backend, driven by a clock, measured row by row into a Result."""
