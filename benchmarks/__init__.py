"""How fast duplexcore is beside the other Python implementations: ``python -m benchmarks --help``."""
