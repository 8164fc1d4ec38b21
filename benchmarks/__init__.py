"""Speed and memory, beside the peers, in one run on one machine: `python -m benchmarks`."""
