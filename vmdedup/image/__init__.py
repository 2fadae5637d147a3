"""Recipes of real guests' disks, and how they are built and kept."""
