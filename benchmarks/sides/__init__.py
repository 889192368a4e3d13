"""The programs that the sides of a comparison run in their processes; see `benchmarks.peers`."""
