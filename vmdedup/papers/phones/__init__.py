"""Experiments on phones."""
