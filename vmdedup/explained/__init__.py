"""KSM scripts explained: step by step, what ksmd looked at, compared, decided, and both trees.

ksmd       ksmd's own kernels, run as plain Python, a page at a time, every call that decides something watched
calls      what is said of each call
names      what pages and contents are called
trees, state    both trees, all pages and counters, as plain values
story      a script played: its steps, each with what happened and what there is after it
document   the story as one JSON document; each step has what has changed
page, terminal    the story as a page without network, and on a terminal
lessons    questions about KSM, each a script
"""
