"""One file for each implementation. Each is a program (`benchmarks.contract`) and imports no other part of duplexcore's
than its own library, the contract and the loops, since it runs in an environment of its own."""
