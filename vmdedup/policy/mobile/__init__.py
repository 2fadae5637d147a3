"""Policies for phones: those of the literature, compressed swap, and one of our own."""
