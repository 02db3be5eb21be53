"""The server of the suite: the service, listening."""

from __future__ import annotations

import ssl

from duplexcore import ServerConfig
from duplexcore_anyio import Router, Serving, serve

from .service import InteropService

__all__ = ["interop_router", "interop_server"]


def interop_router(server_id: str = "") -> Router:
    """What the server serves."""
    router = Router()
    InteropService(server_id).add_to(router)
    return router


def interop_server(
    *addresses: str, tls: ssl.SSLContext | None = None, config: ServerConfig | None = None, server_id: str = ""
) -> Serving:
    """For `async with`; raises as `serve` does. ``server_id``: which of several servers it is (pick_first_unary)."""
    return serve(interop_router(server_id), *addresses, tls=tls, config=config)
