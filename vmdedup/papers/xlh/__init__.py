"""Experiments of XLH. Miller et al., USENIX ATC 2013."""
