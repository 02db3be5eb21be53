"""One connection on a server: its driver, and the tasks of its handlers."""

from __future__ import annotations

import dataclasses
import random

import anyio
from anyio.abc import ByteStream

from duplexcore import ServerCall, ServerConfig, ServerConnection, Status
from duplexcore.rpc import HandlerTable, MethodKind

from .driver import Observer
from .drivers import Link, drive
from .handling import run_handler
from .listening import peer_of
from .server_calls import ServerCore
from .tasks import Handlers

__all__ = ["ServedConnection", "serve_stream"]

_ONE_REQUEST = (MethodKind.UNARY, MethodKind.SERVER_STREAMING)


class ServedConnection:
    """Serves one connection. `run` returns when it is closed and its handlers have ended."""

    def __init__(
        self, router: HandlerTable, link: Link, config: ServerConfig, *, peer: str, observer: Observer | None
    ) -> None:
        if config.content_subtypes is not None:  # what a handler takes is served, whatever else is (HDR-10)
            subtypes = {method.request_codec.content_subtype for method in router.methods}
            config = dataclasses.replace(config, content_subtypes=config.content_subtypes | subtypes)
        jitter = random.uniform(-1, 1)  # noqa: S311 - connections made together must not end together
        engine = ServerConnection(config, now=anyio.current_time(), jitter=jitter)
        engine.observer = observer
        self._router = router
        self._driver = drive(engine, link, peer=peer, accept=self._accept)
        self._shutting_down = anyio.Event()
        self._handlers: Handlers | None = None

    def shutdown(self, deadline: float) -> None:
        """Drains: no more calls; those that are left at ``deadline`` (absolute) are cut off."""
        self._shutting_down.set()
        self._driver.shutdown(deadline)

    async def run(self) -> None:
        """Until the connection is closed; cancelled, that is within 2 s."""
        driver = self._driver
        async with anyio.create_task_group() as tasks:
            self._handlers = Handlers(tasks)
            driver.start(tasks)
            try:
                await driver.finished.wait()
            finally:
                driver.close()  # with it every call ends, and that cancels its handler
                with anyio.CancelScope(shield=True):
                    await self._handlers.wait()

    def _accept(self, call: ServerCall) -> None:
        found = self._router.find(call.method)
        if isinstance(found, Status):
            call.finish(found)
            return
        core = ServerCore(call, self._driver, self._shutting_down)
        if found.method.kind in _ONE_REQUEST:
            call.expect_single_request()
        assert self._handlers is not None
        self._handlers.start(run_handler, core, found)


async def serve_stream(
    router: HandlerTable,
    stream: ByteStream,
    *,
    config: ServerConfig | None = None,
    peer: str = "",
    observer: Observer | None = None,
) -> None:
    """Serves one connection on any byte stream, which belongs to it from then on; returns when it has ended.

    ``peer``: what handlers are told of the other end; "": what the stream says. Cancelled, it closes within 2 s.
    """
    connection = ServedConnection(
        router, stream, config or ServerConfig(), peer=peer or peer_of(stream, "a stream"), observer=observer
    )
    await connection.run()
