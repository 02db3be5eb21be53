"""The driver of docs/embedding.md with what a test needs around it: calls that block, a server that accepts.

Purely synchronous: a thread for each connection, and on the server one for each call. Nothing of the transport is used,
so what fails here fails in the engine.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from duplexcore import (
    CallEnded,
    CallStarted,
    ClientCall,
    ClientConfig,
    ClientConnection,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
    HalfClosed,
    Metadata,
    MetadataLike,
    RpcError,
    ServerCall,
    ServerConfig,
    ServerConnection,
    Status,
    StatusCode,
)

T = TypeVar("T")

#: Nothing that works takes longer; what does not is a failure, not a hang.
PATIENCE = 60.0


class Driver(threading.Thread):
    """Drives one connection over one socket. `changed` is told whenever something may have become different."""

    def __init__(self, connection: ClientConnection | ServerConnection, sock: socket.socket) -> None:
        super().__init__(daemon=True, name=type(connection).__name__)
        self.connection = connection
        self.changed = threading.Condition(threading.RLock())
        self.events: list[ConnectionEvent] = []
        self._sock = sock
        self._wake, self._waker = socket.socketpair()
        self._out: deque[bytes] = deque()
        self._over = False
        sock.setblocking(False)
        self.start()

    def command(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.changed:
            result = function(*args, **kwargs)
            self._poke()
            return result

    def wait_for(self, condition: Callable[[], T | None], patience: float = PATIENCE) -> T:
        """The first true result of ``condition``, which is asked with the lock held. Raises TimeoutError."""

        def ask() -> T | None:
            result = condition()
            if self._pull():
                self._poke()  # asking a call in vain gives the peer room for more (FLOW-4), which it must be told
            return result

        with self.changed:
            result = self.changed.wait_for(ask, patience)
            if not result:
                raise TimeoutError(f"nothing came in {patience} s; the connection: {self.connection.state.name}")
            return result

    def heard(self, kind: type[T]) -> T | None:
        """The first event of a kind, None as long as there is none."""
        return next((event for event in self.events if isinstance(event, kind)), None)

    def close(self) -> None:
        self.command(self.connection.shutdown, deadline=time.monotonic())
        self.join(PATIENCE)
        assert not self.is_alive()

    def on_started(self, call: ServerCall) -> None:
        raise NotImplementedError

    def run(self) -> None:
        while self._turn():
            pass
        with self.changed, self._sock, self._wake, self._waker:
            self._over = True
            self.changed.notify_all()

    def _turn(self) -> bool:
        connection = self.connection
        with self.changed:
            self._pull()
            while event := connection.next_event():
                self.events.append(event)
                if isinstance(event, CallStarted):
                    self.on_started(event.call)
                self._pull()
            self.changed.notify_all()
            if connection.is_closed and not self._out:
                return False
            due = connection.next_timeout()
            reads = [self._wake] if connection.is_closed or not connection.wants_read else [self._wake, self._sock]
            writes = [self._sock] if self._out else []
        wait = PATIENCE if due is None else max(0.0, due - time.monotonic())
        readable, writable, _ = select.select(reads, writes, [], wait)
        with self.changed:
            connection.handle_timeout(time.monotonic())
            try:
                if self._wake in readable:
                    self._wake.recv(65536)
                if writable:
                    self._write()
                if self._sock in readable:
                    data = self._sock.recv(65536)
                    now = time.monotonic()
                    connection.receive_data(data, now) if data else connection.receive_eof(now)
            except OSError as error:
                self._out.clear()
                connection.transport_failed(str(error), time.monotonic())
                while connection.data_to_send(time.monotonic()):
                    pass
        return True

    def _pull(self) -> bool:
        """Whether there is something new to write. Only as much as one write waits here for the socket: the rest stays
        where the engine can still drop it."""
        if self._out or not (data := self.connection.data_to_send(time.monotonic())):
            return False
        self._out.append(data)
        return True

    def _write(self) -> None:
        sent = self._sock.send(self._out[0])
        rest = self._out.popleft()[sent:]
        if rest:
            self._out.appendleft(rest)

    def _poke(self) -> None:
        if not self._over and threading.current_thread() is not self:
            self._waker.send(b".")


class _BlockingCall:
    """Waits where the engine's call would have said "not now"."""

    def __init__(self, driver: Driver, call: ClientCall | ServerCall) -> None:
        self.driver = driver
        self.call: Any = call

    def send(self, payload: bytes) -> bool:
        """False: the call has ended."""

        def offer() -> str | None:
            if self.call.ended is not None:
                return "ended"
            return ("sent" if self.call.send_message(payload) else "ended") if self.call.writable else None

        return self.driver.wait_for(offer) == "sent"

    def receive(self) -> bytes | None:
        """The next message, None after the last: the peer has half-closed, or the call has ended."""

        def look() -> tuple[bytes | None] | None:
            while True:
                if (message := self.call.take_message()) is not None:
                    return (message,)
                event = self.call.next_event()
                if event is None:
                    return (None,) if self.over else None
                if isinstance(event, HalfClosed):
                    self.half_closed = True
                    return (None,)
                if isinstance(event, CallEnded):
                    return (None,)

        return self.driver.wait_for(look)[0]

    half_closed = False

    @property
    def over(self) -> bool:
        return self.half_closed or self.call.ended is not None

    def wait(self) -> CallEnded:
        """How the call ended, once it has."""
        return self.driver.wait_for(lambda: self.call.ended)

    def __iter__(self) -> Iterator[bytes]:
        while (message := self.receive()) is not None:
            yield message


class BlockingClientCall(_BlockingCall):
    call: ClientCall

    def half_close(self) -> None:
        self.driver.command(self.call.half_close)

    def cancel(self) -> None:
        self.driver.command(self.call.cancel)

    def initial_metadata(self) -> Metadata:
        """What the server sent first; empty when the call ended without."""
        self.driver.wait_for(lambda: self.call.initial_metadata is not None or self.call.ended)
        return self.call.initial_metadata or Metadata()


class BlockingServerCall(_BlockingCall):
    call: ServerCall

    def send_initial_metadata(self, metadata: MetadataLike) -> None:
        self.driver.command(self.call.send_initial_metadata, metadata)

    def finish(self, status: Status, trailing_metadata: MetadataLike = ()) -> None:
        self.driver.command(self.call.finish, status, trailing_metadata)


class ThreadedClient(Driver):
    """Our client engine on a TCP connection of its own."""

    connection: ClientConnection

    def __init__(self, port: int, config: ClientConfig | None = None) -> None:
        config = config or ClientConfig(authority=f"127.0.0.1:{port}")
        connection = ClientConnection(config, now=time.monotonic())
        super().__init__(connection, socket.create_connection(("127.0.0.1", port)))
        self.wait_for(lambda: self.heard(ConnectionReady) or self.heard(ConnectionClosed))

    def unary(self, path: str, request: bytes, metadata: MetadataLike = (), **options: Any) -> bytes:
        call = self.open(path, metadata, single_response=True, **options)
        call.send(request)
        call.half_close()
        response = call.receive()  # asked for before the end is waited for: a large one comes only to a reader (FLOW-4)
        ended = call.wait()
        if not ended.status.ok:
            raise RpcError(ended.status, trailing_metadata=ended.trailing_metadata, unprocessed=ended.unprocessed)
        assert response is not None
        return response

    def open(
        self, path: str, metadata: MetadataLike = (), *, timeout: float | None = None, **options: Any
    ) -> BlockingClientCall:
        deadline = None if timeout is None else time.monotonic() + timeout
        started = self.command(self.connection.start_call, path, metadata, deadline=deadline, **options)
        return BlockingClientCall(self, started)

    def heard_goaway(self) -> ConnectionDraining:
        """Waits for it."""
        return self.wait_for(lambda: self.heard(ConnectionDraining))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


#: What serves a method: it ends by returning (OK) or by raising `RpcError`.
Handler = Callable[[BlockingServerCall], None]


class _Served(Driver):
    def __init__(self, server: ThreadedServer, sock: socket.socket) -> None:
        self.server = server
        super().__init__(ServerConnection(server.config, now=time.monotonic()), sock)

    def on_started(self, call: ServerCall) -> None:
        handler = self.server.handlers.get(call.method)
        if handler is None:
            call.finish(Status(StatusCode.UNIMPLEMENTED, f"no method {call.method}"))
            return
        threading.Thread(target=self._handle, args=(handler, BlockingServerCall(self, call)), daemon=True).start()

    def _handle(self, handler: Handler, call: BlockingServerCall) -> None:
        try:
            handler(call)
        except RpcError as error:
            call.finish(error.status, error.trailing_metadata)
        except Exception as error:
            self.server.errors.append(error)
            call.finish(Status(StatusCode.UNKNOWN, "the handler failed"))
        else:
            call.finish(Status())


class ThreadedServer:
    """Our server engine: a thread that accepts, one for each connection, one for each call."""

    def __init__(self, handlers: Mapping[str, Handler], config: ServerConfig | None = None) -> None:
        self.handlers = handlers
        self.config = config or ServerConfig()
        self.drivers: list[_Served] = []
        #: What handlers raised that is no `RpcError`.
        self.errors: list[Exception] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.drivers.append(_Served(self, sock))

    def shutdown(self) -> None:
        """Drains every connection."""
        for driver in self.drivers:
            driver.command(driver.connection.shutdown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE)
        for driver in self.drivers:
            driver.close()
        if error is None:
            assert self.errors == []
