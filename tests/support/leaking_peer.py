"""A server of grpcio that keeps something of every call, on purpose: ``python -m tests.support.leaking_peer WHAT``.

WHAT is ``files``, ``memory`` (a MiB) or ``nothing``. It says ``listening on HOST:PORT``, and serves until it is killed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from .grpc_peer import UNARY, GenericHandlers

KEPT: list[Any] = []
LEAKS: Final[dict[str, Callable[[], object]]] = {
    "files": lambda: KEPT.append(os.open(os.devnull, os.O_RDONLY)),
    "memory": lambda: KEPT.append(b"\1" * 1024**2),
    "nothing": lambda: None,
}


def main() -> None:
    leak = LEAKS[sys.argv[1]]

    def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
        leak()
        return b""

    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((GenericHandlers({UNARY: unary}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
