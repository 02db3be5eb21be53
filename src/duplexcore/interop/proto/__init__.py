"""Messages generated from protos/grpc/testing by `make protos`."""
