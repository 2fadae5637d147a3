"""Speed as ratios on the same work in one run. `python -m benchmarks.NAME --help` tells what each compares."""
