"""What each side of a comparison does in its process; see `benchmarks.peers`."""
