"""Real guests under libvirt: their domains made, started, waited for, paused, dumped and taken away again.

The only importer of libvirt-python. Every domain made here has the prefix `vmdedup-` and metadata of our own
namespace; only domains with both are ever touched.
"""
