"""Readers of memory dumps of guests and processes, one format a file."""
