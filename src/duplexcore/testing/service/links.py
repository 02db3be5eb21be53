"""One connection between a scripted client and the service: the client's engine, two wires, the server's stream."""

from __future__ import annotations

from collections.abc import Callable

from duplexcore import ClientConfig, ClientConnection, ServerConfig
from duplexcore.rpc import HandlerTable
from duplexcore_anyio.serving import ServedConnection

from ..sim.choosing import Chooser
from ..sim.disturbances import Reset, Stall
from ..sim.sides import Clock, Side
from ..sim.steps import Actor, StepKind
from ..sim.wires import Wire
from .loop import SteppedLoop
from .stream import WireStream

__all__ = ["Link"]


class Link:
    """Begins to serve at once, as a task of the loop; to be made in a task of it."""

    def __init__(
        self, index: int, table: HandlerTable, config: ServerConfig, loop: SteppedLoop, chooser: Chooser
    ) -> None:
        mark = f" {index + 1}" if index else ""
        self.index = index
        self._loop = loop
        self.client = Side(f"client{mark}", ClientConnection(ClientConfig(), now=0.0), chooser, now=0.0)
        self.up = Wire(f"up{mark}", chooser, self._to_server, self._end_to_server)
        self.down = Wire(f"down{mark}", chooser, self._to_client, self.client.receive_end)
        self.client.wire = self.up
        self.stream = WireStream(self.down)
        self.server = ServerEnd(f"server{mark}", self.stream, loop)
        self.served = ServedConnection(table, self.stream, config, peer=f"client{mark}", observer=None)
        self.task = loop.create_task(self.served.run(), name=f"connection{mark}")

    def actors(self, *, faults: bool, shutdowns: bool) -> list[Actor]:
        """All that acts by itself here, but for the applications."""
        wires = (self.up, self.down)
        found: list[Actor] = [self.client, *wires, Clock(self.client)]
        if shutdowns:
            found.append(Retirement(self, self._loop))
        if faults:
            found += [Reset(self.client, wires), Reset(self.server, wires)]  # type: ignore[arg-type]
            found += [Stall(wire) for wire in wires]
        return found

    def deliver(self) -> bool:
        """Writes and delivers all that there is, both ways. False: there was nothing."""
        busy = False
        while self.client.write():
            busy = True
        busy = self.up.deliver_all() or busy
        return self.down.deliver_all() or busy

    def hang_up(self) -> None:
        """The client is gone."""
        self.up.end()

    def _to_server(self, data: bytes) -> None:
        self.stream.feed(data)

    def _end_to_server(self) -> None:
        self.stream.feed_end()

    def _to_client(self, data: bytes) -> None:
        self.client.receive(data)
        self.stream.drained()


class ServerEnd:
    """The server's end of the transport, as far as disturbances and pictures know it."""

    def __init__(self, name: str, stream: WireStream, loop: SteppedLoop) -> None:
        self.name = name
        self._stream = stream
        self._loop = loop
        self.on_lost: Callable[[], None] | None = None

    def lose(self, reason: str) -> None:
        """The transport is gone, and the server's end knows."""
        if self.on_lost is not None:
            self.on_lost()
        self._stream.lose(reason)

    @property
    def now(self) -> float:
        """The clock of all server ends."""
        return self._loop.time()


class Retirement(Actor):
    """The server shuts the connection down, once: what runs may finish for ten seconds."""

    __slots__ = ("_done", "_link", "_loop")

    def __init__(self, link: Link, loop: SteppedLoop) -> None:
        super().__init__(f"{link.server.name} shuts down", StepKind.END)
        self._link = link
        self._loop = loop
        self._done = False

    def ready(self) -> bool:
        return not self._done and not self._link.task.done()

    def act(self) -> None:
        self._done = True
        self._loop.create_task(self._shut_down(), name="shutdown")

    async def _shut_down(self) -> None:
        self._link.served.shutdown(self._link.server.now + 10.0)
