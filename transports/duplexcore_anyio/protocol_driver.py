"""The driver for asyncio's own transports, TLS and uvloop's included: the engine in the callbacks of a protocol.

There is no task and no stream object between the transport and the engine: bytes come, the engine reads them, those who
wait are woken, and one write is due at the end of the turn of the event loop, when they have spoken.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from anyio.abc import TaskGroup

from duplexcore import Limit, ServerCall

from .asyncio_links import AsyncioLink
from .driver import CLOSE_TIME, READ_SIZE, WRITE_SIZE, Driver, Watcher, keep_memory, why
from .keeper import EngineT

__all__ = ["ProtocolDriver"]

#: As much is written in one turn of the event loop; then other connections have theirs.
TURN_SIZE = 1024 * 1024
#: Bytes that the transport may hold, beyond what the system takes, before nothing more is framed.
HIGH_WATER = 64 * 1024
#: When so many calls have something to frame it is written at once: client and server would else work in turns, each
#: waiting for the end of the other's.
AT_ONCE = 16


class _Scratch(threading.local):
    """Where bytes are read into. The engine keeps none of it, so the connections of a thread can share it."""

    def __init__(self) -> None:
        keep_memory()
        self.view = memoryview(bytearray(READ_SIZE))


_SCRATCH = _Scratch()


class _Phase(IntEnum):
    """How far the connection has come in closing."""

    OPEN = 0
    #: The last bytes are on their way to the system.
    LEAVING = 1
    #: They have left: whatever the peer still says is heard.
    HEARING = 2
    #: The transport was told to close.
    GONE = 3


#: To read it from its enum takes as long as to call a function.
_OPEN: Final = _Phase.OPEN


class ProtocolDriver(Driver[EngineT], asyncio.BufferedProtocol):
    """See `Driver`."""

    def __init__(
        self,
        engine: EngineT,
        link: AsyncioLink,
        *,
        peer: str,
        accept: Callable[[ServerCall], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(engine, link, peer=peer, accept=accept, watcher=watcher)
        self._link = link
        self._transport = link.transport
        self._is_tls = link.transport.get_extra_info("ssl_object") is not None
        self._call_soon = asyncio.get_running_loop().call_soon
        self._scratch = _SCRATCH.view
        self._phase = _Phase.OPEN
        self._is_due = False  # a write is, at the end of the turn
        self._spoken = 0  # how many calls have said something since the last one
        self._is_full = False  # the transport takes no more
        self._at_once = WRITE_SIZE  # as much is framed for one write: more and more, while the transport takes it all
        self._is_deaf = False  # nothing is read: the engine wants no more, or calls wait to be handed over
        self._at_eof = False
        self._full_until = math.inf  # when the peer has read nothing for too long
        self._give_up_at = math.inf  # when this phase of closing ends at the latest
        self._stalled = False

    def start(self, tasks: TaskGroup) -> None:
        link, transport = self._link, self._transport
        transport.set_write_buffer_limits(HIGH_WATER)
        transport.set_protocol(self)
        if link.early:
            self._receive(memoryview(link.early))
        if link.is_lost:
            self.connection_lost(link.error)
        elif link.at_eof:
            self.eof_received()
        elif not self._is_deaf:
            transport.resume_reading()
        self.wake_writer()

    def wake_writer(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._spoken = 0
            self._call_soon(self._end_turn)
            return
        self._spoken += 1
        if self._spoken >= AT_ONCE:
            self._spoken = self.engine.backlog  # who has only taken what came does not count
            if self._spoken >= AT_ONCE:
                self._spoken = 0
                self._write()

    # --- heard from the transport -----------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(self._scratch[:nbytes])

    def eof_received(self) -> bool:
        self._at_eof = True
        self.engine.receive_eof(self.now())
        self._pass_on(self.engine)
        self.wake_writer()
        if self._phase is _Phase.HEARING:
            self._hang_up()
        return not self._is_tls  # what TLS makes of True is a warning

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _Phase.GONE
        engine, now = self.engine, self.now()
        if self._stalled:
            reason = f"the peer has read nothing for {self._patience:g} s"
            engine.transport_failed(reason, now, limit=Limit.WRITE_TIMEOUT)
        elif exc is not None:
            self._hear_last_words()
            engine.transport_failed(f"the connection was lost: {why(exc)}", now)
        elif self._at_eof or engine.is_closed:
            engine.transport_failed("the connection was closed", now)
        else:
            engine.receive_eof(now)
        self._pass_on(engine)
        self._part()

    def pause_writing(self) -> None:
        self._is_full = True
        self._at_once = WRITE_SIZE  # so a slow peer has little to read before it counts as one that reads
        if self._full_until == math.inf:
            self._full_until = self.now() + self._patience
            self._set_alarm()

    def resume_writing(self) -> None:
        self._is_full = False
        self._full_until = math.inf
        if self._phase is _Phase.LEAVING:
            self._left()
        else:
            self.wake_writer()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _receive(self, data: memoryview) -> None:
        if len(self.first_bytes) < 16:
            self.first_bytes += data[:16]
        try:
            self.engine.receive_data(data, self.now())
        except Exception as error:  # noqa: BLE001 - a defect of ours
            self._surprised(error)
        self._pass_on(self.engine)
        if self._arrived:
            self._hand_over()
        if self._arrived or not self.engine.wants_read:
            self._listen()
        self.wake_writer()

    def _listen(self) -> None:
        """Reads, or reads no more, as the engine and the calls that wait to be handed over want it."""
        engine = self.engine
        deaf = bool(self._arrived) or not (engine.wants_read or engine.is_closed)
        if deaf is self._is_deaf or self._phase is _Phase.GONE:
            return
        self._is_deaf = deaf
        if deaf:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _hear_last_words(self) -> None:
        """What had come when a write failed: a status among it counts (DUP-14)."""
        number = self._link.raw.fileno()
        if self._is_tls or number < 0 or self._at_eof:
            return
        with contextlib.suppress(OSError):
            while not self.engine.is_closed and (said := os.read(number, READ_SIZE)):
                self.engine.receive_data(said, self.now())

    # --- writing ----------------------------------------------------------------------------------------------------

    def _end_turn(self) -> None:
        self._is_due = False
        if self._arrived:
            self._hand_over()
            if self._arrived:
                self.wake_writer()
        self._write()
        if self._is_deaf:
            self._listen()

    def _write(self) -> None:
        """What the engine has to write, as far as the transport takes it; then what came of it."""
        engine = self.engine
        self.turn += 1
        if self._phase is _OPEN:
            now, written = self.now(), 0
            try:
                while not self._is_full:
                    most = self._at_once
                    if data := engine.data_to_send(now, most):
                        self._transport.write(data)
                        written += len(data)
                    if len(data) < most:  # that was all
                        if engine.is_closed and not self._is_full:
                            self._leave()
                        break
                    if not self._is_full:
                        self._at_once = min(2 * most, TURN_SIZE)
                    if written >= TURN_SIZE:
                        self.wake_writer()
                        break
            except Exception as error:  # noqa: BLE001 - a defect of ours
                self._surprised(error)
        self._pass_on(engine)
        self._set_alarm()

    # --- time -------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        self._pass_on(self.engine)
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm.set(self.engine.next_timeout())
        if self._full_until is not math.inf or self._give_up_at is not math.inf:
            self._alarm.set(min(self._full_until, self._give_up_at))

    def _on_time(self) -> None:
        now = self.now()
        if now >= self._full_until and self._phase is _Phase.OPEN:
            self._stalled = True
            self._hang_up(at_once=True)
        if now >= self._give_up_at:
            self._hang_up(at_once=self._phase is not _Phase.HEARING)
        super()._on_time()

    # --- closing ----------------------------------------------------------------------------------------------------

    def _leave_by(self, when: float) -> None:
        if self._phase <= _Phase.LEAVING:
            self._give_up_at = min(self._give_up_at, when)
            self._set_alarm()

    def _leave(self) -> None:
        """The engine has said its last."""
        self._phase = _Phase.LEAVING
        self._transport.set_write_buffer_limits(0)  # says when all has left, if it has not yet
        if not self._transport.get_write_buffer_size():
            self._left()

    def _left(self) -> None:
        """Hears the peer out, so that closing does not destroy what it has not read yet."""
        self._phase = _Phase.HEARING
        self._give_up_at = self.now() + CLOSE_TIME
        self._set_alarm()
        self._listen()
        if self._at_eof or not self._transport.can_write_eof():
            self._hang_up()
        else:
            with contextlib.suppress(OSError):  # the peer has left: that is told in a moment
                self._transport.write_eof()

    def _hang_up(self, *, at_once: bool = False) -> None:
        """`connection_lost` follows: at once, or when a TLS peer has had its time to part."""
        self._phase, self._give_up_at = _Phase.GONE, math.inf
        if at_once:
            self._transport.abort()
        else:
            self._transport.close()
