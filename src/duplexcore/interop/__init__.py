"""The official interop suite of gRPC, as programs: `duplexcore interop`.

One file a subject: the cases that a client runs, the service that a server offers, the peers that the matrix finds.
"""
