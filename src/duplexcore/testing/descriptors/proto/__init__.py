"""Messages generated from protos/duplexcore/reflection by `make protos`."""
