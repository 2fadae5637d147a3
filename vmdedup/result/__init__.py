"""What a run leaves: a directory of JSON and Parquet from which everything shown to people is made.

    runs/identical-20250101-120000/
    ├── run.json          the scenario as it was run, seed, versions, machine, how it ended, events
    ├── summary.json      the answers, as `vmdedup run --json` prints them
    ├── series.parquet    one row a sample: every KSM counter, allocation, saving (same seed, same bytes)
    ├── guests.parquet    one row a guest, at the end of the run
    ├── matrix.parquet    one row a pair of guests: the frames that both map
    └── timing.parquet    one row a sample: what the emulation itself took (never the same twice)

columns declares every column; tables has polars; directory writes; summary computes. Parquet of others is read by
foreign alone, whose decoder is a process of its own.
"""

from __future__ import annotations
