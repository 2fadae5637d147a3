"""Experiments of KSM itself: its advisor, smart scan, Windows guests, sharing within a guest."""
