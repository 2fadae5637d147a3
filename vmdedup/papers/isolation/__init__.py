"""What guests learn of each other, and what isolation costs."""
