"""Experiments of Difference Engine. Gupta et al., OSDI 2008."""
