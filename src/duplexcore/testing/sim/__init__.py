"""The simulator: both sides of a connection in one process, every order of things by choice."""
