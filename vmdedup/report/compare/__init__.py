"""Results side by side: what differs, when, by how much, and why, as far as the data show it.

figures      what is compared: the results of a run, or figures that were published
published    published figures in a TOML file
measures     every figure that is laid side by side, with name, unit and where it comes from
alignment    samples of several runs at the same time, or after the same number of full scans
reason       a reason why two runs differ; reasons_memory, reasons_ksm, reasons_run find them
document     all of it as one JSON document
text         that document as text for people
gate         whether a difference is larger than was allowed
"""

from __future__ import annotations
