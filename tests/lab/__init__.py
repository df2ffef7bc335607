"""Real servers, sample mail and mounts for the tests, the benchmarks and the demo: see README.md."""
