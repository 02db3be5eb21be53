"""A client's call: its outcome as exceptions, its metadata, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import anyio

from duplexcore import ClientCall, Metadata, Origin, RpcError, Status, StatusCode

from .core import CallCore
from .errors import CallClosedError
from .keeper import Keeper
from .waiting import scopes_first

if TYPE_CHECKING:
    from .connections import Connections

__all__ = ["ClientCore"]

NO_METADATA = Metadata()


class ClientCore(CallCore[ClientCall]):
    """One call that this side has opened."""

    __slots__ = ("_ambient", "_connections", "wait_for_ready")

    def __init__(
        self, engine: ClientCall, driver: Keeper[Any], connections: Connections, *, ambient: bool, wait_for_ready: bool
    ) -> None:
        CallCore.__init__(self, engine, driver)
        self._connections = connections
        self._ambient = ambient  # the deadline is that of a cancel scope around the call
        self.wait_for_ready = wait_for_ready

    def on_end(self) -> None:
        ended = self.engine.ended
        if ended is not None and ended.unprocessed and self._connections.restart(self):
            return  # nobody need know: who reads was woken, and waits again
        self.on_writable()

    # --- the outcome ------------------------------------------------------------------------------------------------

    async def end_of_messages(self) -> NoReturn:
        ended = self.engine.ended
        assert ended is not None
        if ended.status.ok:
            raise anyio.EndOfStream
        await self.fail()

    async def refuse(self) -> NoReturn:
        ended = self.engine.ended
        assert ended is not None
        if ended.status.ok:
            raise CallClosedError(ended.status, ended.trailing_metadata)
        await self.fail()

    async def fail(self) -> NoReturn:
        """Raises the call's status. When it is the deadline of a cancel scope that has passed, the scope's own
        cancellation is due as well, and comes first."""
        ended = self.engine.ended
        assert ended is not None
        if self._ambient and ended.origin is Origin.LOCAL and ended.status.code is StatusCode.DEADLINE_EXCEEDED:
            await scopes_first()
        raise RpcError(
            ended.status,
            initial_metadata=self.engine.initial_metadata or NO_METADATA,
            trailing_metadata=ended.trailing_metadata,
            unprocessed=ended.unprocessed,
        )

    def closed_error(self) -> Exception:
        return anyio.ClosedResourceError("the call was left")

    # --- what a client says -----------------------------------------------------------------------------------------

    def send_only(self, payload: bytes) -> None:
        """The one request of the method, and the half-close. Raises `MessageTooLargeError`."""
        self.said_all = True
        if self.engine.send_message(payload):
            self.engine.half_close()
        if self._told != self.driver.turn:
            self.tell()

    def end_writing(self) -> None:
        self.said_all = True
        self.engine.half_close()
        self.on_writable()  # who waits for room waits in vain
        self.driver.wake_writer()

    def cancel(self, message: str = "cancelled by the client") -> None:
        if self.engine.ended is None:
            self.engine.cancel(message)
            self.driver.settle()
            self.driver.wake_writer()

    def leave(self) -> None:
        self.cancel()
        CallCore.leave(self)

    def source_failed(self) -> None:
        self.cancel("the source of the requests failed")

    def undecodable(self, error: Exception) -> Exception:
        text = f"a response is not what the method says: {str(error) or type(error).__name__}"
        self.cancel(text)
        return RpcError(StatusCode.INTERNAL, text)

    # --- what it hears besides messages -----------------------------------------------------------------------------

    async def initial_metadata(self) -> Metadata:
        engine = self.engine
        while engine.initial_metadata is None:
            if engine.ended is not None:
                if not engine.ended.status.ok:
                    await self.fail()
                return NO_METADATA
            if self.left:
                raise self.closed_error()
            await self.changed()
        return engine.initial_metadata

    async def wait_closed(self) -> Status:
        while self.engine.ended is None:
            await self.changed()
        return self.engine.ended.status

    @property
    def trailing_metadata(self) -> Metadata:
        ended = self.engine.ended
        return ended.trailing_metadata if ended else NO_METADATA

    def time_remaining(self) -> float | None:
        deadline = self.engine.deadline
        return None if deadline is None else max(0.0, deadline - anyio.current_time())
