"""Against other implementations, on loopback sockets."""
