"""For those who test: peers that speak gRPC byte by byte, also wrongly.

`duplexcore.testing.raw` writes and reads single HTTP/2 frames and knows nothing of the engine.
"""
