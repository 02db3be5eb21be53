"""The connections of a channel: the one that takes new calls, those that drain, the next one in the making."""

from __future__ import annotations

import dataclasses
import math

import anyio
from anyio.abc import TaskGroup

from duplexcore import ClientConfig, ClientConnection, ConnectionDraining, ConnectionState, ErrorCode

from .backoff import Backoff
from .channel_state import CHANNEL, ChannelState, ChannelTurn
from .client_core import ClientCore
from .dialing import Dialer, make_ready
from .driver import Driver, Observer
from .errors import ConnectError, ConnectTimeoutError
from .keeper import LOGGER, Keeper, shown
from .lobby import ClosedDoor, Lobby
from .race import Address, first_ready
from .waiting import clock, waiters

__all__ = ["Connections"]

#: A server that closes what it accepts, again and again, is called so many seconds after the last time. It is no failed
#: attempt: whoever was READY has had its back-off reset (CHAN-3), and calls wait here without being told.
SHORT_LIFE = 1.0


class Connections:
    """Makes a connection when a call wants one, and makes the next one when that is lost (CHAN-1 to CHAN-4).

    It is told of calls that have ended without being processed, and starts them again: the ones that wait here for a
    connection are such calls, too (RETRY-3, GOAW-6).
    """

    def __init__(
        self, dialer: Dialer, config: ClientConfig, *, timeout: float, backoff: Backoff, observer: Observer | None
    ) -> None:
        self.state = ChannelState.IDLE
        #: Set when there is no connection any more, and never will be; `reason` says why.
        self.closed = anyio.Event()
        self.reason = ""
        self._dialer = dialer
        self._config = config
        self._timeout = timeout
        self._backoff = backoff
        self._observer = observer
        self._changed = anyio.Event()
        self._current: Driver[ClientConnection] | None = None  # takes new calls
        self._all: set[Driver[ClientConnection]] = set()  # until their streams are closed
        self._lobby = Lobby(config, peer=dialer.name)
        self._refusing: Keeper[ClientConnection] | None = None  # where calls end at once, when they do
        self._now = clock()
        self._wanted = waiters()()  # a connection is, by whomever: the driver's callbacks can start no task
        self._tasks: TaskGroup | None = None
        self._connecting: anyio.CancelScope | None = None  # the task that connects, while there is one
        self._connected_at = -math.inf
        self._short_lives = 0  # connections in a row that were lost at once

    # --- for the channel --------------------------------------------------------------------------------------------

    async def start(self, tasks: TaskGroup) -> None:
        """Makes the first connection. Raises `ConnectError`."""
        self._tasks = tasks
        self._lobby.start(tasks)
        self._turn(ChannelTurn.WANTED)
        deadline = self._now() + self._timeout
        try:
            self._connected(await self._attempt(deadline, self._timeout))
        except BaseException:
            await self.aclose()
            raise
        tasks.start_soon(self._connect_when_wanted, name="duplexcore connect")

    def place(self, *, wait_for_ready: bool) -> Keeper[ClientConnection]:
        """Where a call starts now. One that must not wait for a failed server ends there at once (CHAN-6)."""
        current = self._current
        if current is not None:
            if current.engine.state is ConnectionState.READY:
                return current
            self._lost(current)
        if self.state is ChannelState.IDLE:
            self._turn(ChannelTurn.WANTED)
            self._wanted.wake()
        if self._refusing is not None and (self.state is ChannelState.SHUTDOWN or not wait_for_ready):
            return self._refusing
        return self._lobby

    def restart(self, core: ClientCore) -> bool:
        """Starts a call again that no server has worked on. False: it can not be, its end is its end."""
        if self.state is ChannelState.SHUTDOWN or not core.engine.restartable:
            return False
        place = self.place(wait_for_ready=core.wait_for_ready)
        if place is self._refusing:
            return False
        place.engine.restart_call(core.engine)
        core.move(place)
        place.settle()
        place.wake_writer()
        return True

    async def wait_for_state_change(self, state: ChannelState) -> ChannelState:
        """Until it is another one than ``state``; which it is then."""
        while self.state is state:
            await self._changed.wait()
        return self.state

    async def aclose(self) -> None:
        """Cancels the calls that are left, says GOAWAY and closes, within 2 s."""
        self._turn(ChannelTurn.CLOSE)
        if self._connecting is not None:
            self._connecting.cancel()
        self._wanted.wake()
        self._current = None
        self._lobby.close()
        self._refusing = self._lobby
        for driver in list(self._all):
            driver.close()
        with anyio.CancelScope(shield=True):
            await self._dialer.discard()
            for driver in list(self._all):
                await driver.finished.wait()
        self._note_closed("the client has shut down")

    @property
    def peer(self) -> str:
        return self._dialer.name if self._current is None else self._current.peer

    @property
    def is_local(self) -> bool:
        return self._dialer.is_local

    @property
    def open_calls(self) -> int:
        return sum(driver.engine.open_calls for driver in self._all)

    @property
    def waiting_calls(self) -> int:
        return self._lobby.engine.waiting_calls + sum(driver.engine.waiting_calls for driver in self._all)

    @property
    def is_draining(self) -> bool:
        return any(driver.engine.state is ConnectionState.DRAINING for driver in self._all)

    # --- heard from the connections ---------------------------------------------------------------------------------

    def draining(self, driver: Driver[ClientConnection], event: ConnectionDraining) -> None:
        if event.code == ErrorCode.ENHANCE_YOUR_CALM and "too_many_pings" in event.reason:
            self._ask_less_often(driver)
        self._lost(driver)

    def lost(self, driver: Driver[ClientConnection]) -> None:
        self._lost(driver)
        self._note_closed(driver.reason)

    def finished(self, driver: Driver[ClientConnection]) -> None:
        self._all.discard(driver)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self.state is ChannelState.SHUTDOWN

    def _turn(self, turn: ChannelTurn) -> None:
        before, self.state = self.state, CHANNEL[self.state, turn]
        if self.state is not before:
            self._changed.set()
            self._changed = anyio.Event()

    def _lost(self, driver: Driver[ClientConnection]) -> None:
        """It takes no more calls; those that it has go on there, or have ended."""
        if driver is not self._current:
            return
        if self._dialer.again:
            short = self._now() - self._connected_at < SHORT_LIFE
            self._short_lives = self._short_lives + 1 if short else 0
            self._turn(ChannelTurn.LOST)
        else:
            self._refusing = driver
            self._turn(ChannelTurn.CLOSE)
        self._current = None

    def _note_closed(self, reason: str) -> None:
        if self.state is ChannelState.SHUTDOWN and all(driver.engine.is_closed for driver in self._all):
            self.reason = self.reason or reason
            self.closed.set()

    def _ask_less_often(self, driver: Driver[ClientConnection]) -> None:
        """The server has had too many PINGs: the next connections send half as many (gRFC A8, KEEP-7)."""
        time = 2 * driver.engine.config.keepalive_time
        if time > self._config.keepalive_time:
            self._config = dataclasses.replace(self._config, keepalive_time=time)
        LOGGER.warning(
            "%s has had too many keepalive PINGs (too_many_pings): keepalive_time is %g s from now on; set it as the "
            "server permits",
            shown(driver.peer),
            self._config.keepalive_time,
        )

    async def _connect_when_wanted(self) -> None:
        while not self._is_over():
            if self.state is ChannelState.CONNECTING:
                await self._connect()
            else:
                await self._wanted.wait()

    async def _connect(self) -> None:
        """Until there is a connection, or none is wanted any more."""
        with anyio.CancelScope() as self._connecting:
            if self._short_lives > 1:
                await anyio.sleep_until(self._connected_at + SHORT_LIFE)
            failures = 0
            while True:
                began, delay = self._now(), self._backoff.delay(failures)
                timeout = max(delay, self._timeout)
                try:
                    driver = await self._attempt(began + timeout, timeout)
                except ConnectError as error:
                    reason = str(error)
                except Exception as error:  # noqa: BLE001 - a defect; the channel lives on
                    LOGGER.exception("connecting to %s failed", shown(self._dialer.name))
                    reason = f"internal error: {type(error).__name__}"
                else:
                    self._connected(driver)
                    return
                if self._is_over():  # closed in the moment in which it failed
                    return
                self._failed(reason)
                failures += 1
                await anyio.sleep_until(began + delay)

    async def _attempt(self, deadline: float, timeout: float) -> Driver[ClientConnection]:
        addresses = None
        with anyio.CancelScope(deadline=deadline):
            addresses = await self._dialer.addresses()
        if addresses is None:
            raise ConnectTimeoutError(f"the name in {self._dialer.name} was not resolved within {timeout:g} s")

        async def one(address: Address | str) -> Driver[ClientConnection]:
            assert self._tasks is not None
            return await make_ready(
                self._dialer,
                address,
                self._config,
                deadline=deadline,
                timeout=timeout,
                tasks=self._tasks,
                watcher=self,
                observer=self._observer,
                opened=self._all.add,
            )

        return await first_ready(addresses, one)

    def _connected(self, driver: Driver[ClientConnection]) -> None:
        if self._is_over():  # closed in the moment in which it was ready
            driver.close()
            return
        self._connecting = None
        self._connected_at = self._now()
        self._current, self._refusing = driver, None
        self._turn(ChannelTurn.CONNECTED)
        if driver.engine.state is not ConnectionState.READY:  # its server left at once: nobody was told of that
            self._lost(driver)
        self._lobby.clear("the connection was lost at once")

    def _failed(self, reason: str) -> None:
        self._turn(ChannelTurn.FAILED)
        LOGGER.debug("%s", shown(reason))
        self._refusing = ClosedDoor(self._config, peer=self._dialer.name, reason=reason)
        self._lobby.clear(reason)
