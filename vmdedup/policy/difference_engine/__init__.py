"""Difference Engine: whole pages shared, similar pages patched, idle pages compressed. Gupta et al., OSDI 2008."""
