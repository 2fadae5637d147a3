"""What is measured of a run: rows while it goes on, guests and pairs at its end, the same for every backend."""
