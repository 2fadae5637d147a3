"""Experiments on placement: which guest on which host."""
