"""`vmdedup top`: what KSM does at this moment, and for whom.

moment       one look, as plain values; what two looks tell of the time between
emulated     a look at an emulated host, asked of its run
real         a look at this host: files, and who maps which frame; nothing is written, no page is read
screen       what is shown of it
"""
