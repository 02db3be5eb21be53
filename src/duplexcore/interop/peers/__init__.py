"""The other implementations that the matrix runs against duplexcore: one row in `table`, one file in ``programs``.

``table`` says what each peer is and how it is started; ``environments`` makes what it needs to run in, apart from ours.
"""
