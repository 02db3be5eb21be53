"""Messages generated from protos/duplexcore/demo/v1 by `make protos`."""
