"""A server: what it listens at, the connections that came, and how it stops."""

from __future__ import annotations

import ssl
from types import TracebackType

import anyio
import anyio.abc
from anyio.abc import SocketListener

from duplexcore import ServerConfig
from duplexcore.rpc import HandlerTable

from . import asyncio_links
from .driver import Observer
from .drivers import DriverName, Link, checked, wants_transports
from .errors import TLSError
from .keeper import LOGGER, shown
from .listening import Listening, listen, peer_of
from .serving import ServedConnection
from .tasks import Background
from .tls import negotiate, plain

__all__ = ["Server", "Serving", "serve"]

#: After an error of accept (no file descriptors left, say) the next attempt waits: seconds.
ACCEPT_PAUSE = 0.1


class Server:
    """Accepts connections and runs handlers. Made by `serve`."""

    def __init__(
        self,
        router: HandlerTable,
        *,
        tls: ssl.SSLContext | None,
        config: ServerConfig,
        grace: float,
        observer: Observer | None,
        driver: DriverName | None,
    ) -> None:
        self._router = router
        self._tls = tls
        self._config = config
        self._grace = grace
        self._observer = observer
        self._driver: DriverName | None = driver
        self._as_transports = False  # `open` knows
        self._listening: list[Listening] = []
        self._connections: set[ServedConnection] = set()
        self._accepting = anyio.CancelScope()  # accepting, and TLS handshakes
        self._stopping = False
        self._stopped = anyio.Event()
        self._idle = anyio.Event()  # while stopping: the last connection is closed

    @property
    def addresses(self) -> list[str]:
        """What it listens at, as targets that `connect` takes."""
        return [listening.address for listening in self._listening]

    @property
    def port(self) -> int:
        """Of the first TCP address. Raises LookupError when there is none."""
        for listening in self._listening:
            if listening.port is not None:
                return listening.port
        raise LookupError("this server listens at no TCP port")

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def stop(self, grace: float = 0.0) -> None:
        """No more connections and calls; calls that run may finish within ``grace`` seconds, then they are cut off.

        Returns when all is closed. Said again, it may only shorten the time.
        """
        deadline = anyio.current_time() + grace
        self._stopping = True
        self._accepting.cancel()
        for connection in list(self._connections):
            connection.shutdown(deadline)
        with anyio.CancelScope(shield=True):  # at once: who comes now is refused, and does not wait in the backlog
            for listening in self._listening:
                await listening.aclose()
        while self._connections:
            if self._idle.is_set():  # else another task waits for it already, in its own `stop`
                self._idle = anyio.Event()
            await self._idle.wait()
        self._stopped.set()

    async def wait_stopped(self) -> None:
        """Until `stop` was said, and all is closed."""
        await self._stopped.wait()

    async def serve_forever(self) -> None:
        """Until another task says `stop`; cancelled, it stops first, with the grace that `serve` was told."""
        try:
            await self._stopped.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.stop(self._grace)
            raise

    # --- inside -----------------------------------------------------------------------------------------------------

    async def accept(self, tasks: anyio.abc.TaskGroup) -> None:
        """Accepts connections until the server stops."""
        with self._accepting:
            async with anyio.create_task_group() as acceptors:
                for listening in self._listening:
                    for listener in listening.listeners:
                        assert isinstance(listener, SocketListener)
                        acceptors.start_soon(self._accept_at, listener, listening.address, acceptors, tasks)

    async def open(self, addresses: tuple[str, ...]) -> None:
        self._as_transports = wants_transports(self._driver)
        try:
            for address in addresses:
                self._listening.append(await listen(address))
        except BaseException:
            for listening in self._listening:
                await listening.aclose()
            raise

    async def _accept_at(
        self, listener: SocketListener, address: str, acceptors: anyio.abc.TaskGroup, tasks: anyio.abc.TaskGroup
    ) -> None:
        while True:
            link: Link
            try:
                link = await (asyncio_links.accept(listener) if self._as_transports else listener.accept())
            except anyio.ClosedResourceError:
                return
            except (OSError, anyio.BrokenResourceError) as error:  # which of them: the event loop's choice
                LOGGER.error("accepting at %s failed: %s", address, shown(str(error.__cause__ or error)))
                await anyio.sleep(ACCEPT_PAUSE)
                continue
            peer = peer_of(link, address)
            if self._tls is None:
                tasks.start_soon(self._serve, await plain(link, server_side=True), peer)
            else:
                acceptors.start_soon(self._negotiate, link, self._tls, peer, tasks)

    async def _serve(self, link: Link, peer: str) -> None:
        if self._stopping:
            await anyio.aclose_forcefully(link)
            return
        connection = ServedConnection(self._router, link, self._config, peer=peer, observer=self._observer)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._idle.set()

    async def _negotiate(self, link: Link, context: ssl.SSLContext, peer: str, tasks: anyio.abc.TaskGroup) -> None:
        """Puts TLS on a connection before it is served; lets a peer go that does not manage in time, or is refused."""
        try:
            with anyio.fail_after(self._config.handshake_timeout):
                secured = await negotiate(link, context, server_side=True)
        except (TLSError, TimeoutError) as error:
            LOGGER.debug("connection with %s: %s", shown(peer), shown(str(error)))
        else:
            tasks.start_soon(self._serve, secured, peer)


class Serving:
    """A server that starts when it is entered, and stops when it is left. See `serve`."""

    def __init__(self, server: Server, addresses: tuple[str, ...], grace: float) -> None:
        self._server = server
        self._addresses = addresses
        self._grace = grace
        self._tasks = Background()

    async def __aenter__(self) -> Server:
        if self._server.addresses:
            raise RuntimeError("a server is entered once: call serve() again")
        await self._server.open(self._addresses)
        tasks = await self._tasks.__aenter__()
        tasks.start_soon(self._server.accept, tasks, name="duplexcore accept")
        return self._server

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool:
        try:
            if exc_val is None:
                await self._server.stop(self._grace)
        finally:
            with anyio.CancelScope(shield=True):
                await self._server.stop(0.0)
            swallowed = await self._tasks.leave(exc_val)
        return swallowed


def serve(
    router: HandlerTable,
    *addresses: str,
    tls: ssl.SSLContext | None = None,
    config: ServerConfig | None = None,
    grace: float = 0.0,
    observer: Observer | None = None,
    driver: DriverName | None = None,
) -> Serving:
    """A server: ``async with serve(router, "127.0.0.1:50051") as server``. It accepts as soon as it is entered.

    ``addresses``: ``host:port`` (an empty host: every interface; port 0: the system chooses, see `Server.port`),
    ``[v6]:port`` or ``unix:/path``, one at least. ``tls``: see `server_tls`. ``config``: limits and windows. ``grace``:
    how long leaving lets running calls finish, seconds; left by an exception, it does not wait. ``observer``: called
    with "in" or "out" and each HTTP/2 frame of every connection. ``driver``: as of `connect`.

    Raises ValueError for no address, or what is none, and for such a driver; entering raises `ListenError`.
    """
    if not addresses:
        raise ValueError("serve() needs an address, such as '127.0.0.1:50051' or 'unix:/path'")
    server = Server(
        router, tls=tls, config=config or ServerConfig(), grace=grace, observer=observer, driver=checked(driver)
    )
    return Serving(server, addresses, grace)
