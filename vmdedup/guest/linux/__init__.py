"""What Linux holds of a guest's memory, beside files and processes: its image, and all that it keeps for itself."""
