"""A mixed load for a long time: nothing may be lost, nothing may leak. ``python -m benchmarks.soak --help``."""
