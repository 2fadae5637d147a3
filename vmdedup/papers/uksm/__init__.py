"""Experiments of UKSM. Xia et al., FAST 2018."""
