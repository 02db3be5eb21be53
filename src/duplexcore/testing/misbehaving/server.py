"""The server: a port for each case, and a verdict for each connection."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener
from anyio.streams.tls import TLSStream

from duplexcore.testing.link import RawLink

from .case import ServerCase
from .cases import CASES
from .stage import Stage
from .verdict import Verdict

__all__ = ["MisbehavingServer", "misbehave"]

Listening = tuple[ServerCase, MultiListener[SocketStream]]
#: How long connections that are stopped may take to be judged: seconds.
CLOSE_TIME = 1.0
#: Verdicts that are kept; the oldest go first.
KEPT = 10_000


class MisbehavingServer:
    """Made by `misbehave`."""

    def __init__(
        self, cases: Sequence[ServerCase], patience: float, on_verdict: Callable[[Verdict], None] | None
    ) -> None:
        self.cases = tuple(cases)
        #: The port of each case.
        self.ports: dict[str, int] = {}
        #: Of the connections that have ended, in that order.
        self.verdicts: list[Verdict] = []
        self._patience = patience
        self._on_verdict = on_verdict
        self._numbers: dict[str, int] = {}
        self._scopes: set[anyio.CancelScope] = set()
        self._stopped = False
        self._changed = anyio.Event()

    @property
    def port(self) -> int:
        """Of the first case."""
        return self.ports[self.cases[0].name]

    async def verdict(self, case: str | None = None, *, timeout: float = 15.0) -> Verdict:
        """The last verdict, of that case if one is named, once no connection is open any more.

        Raises TimeoutError; LookupError when nobody has called.
        """
        with anyio.fail_after(timeout):
            await self.settled()
        found = [verdict for verdict in self.verdicts if case in (None, verdict.case)]
        if not found:
            raise LookupError("nobody has made a call that could be judged")
        return found[-1]

    @property
    def connections(self) -> int:
        """How many have come so far."""
        return sum(self._numbers.values())

    async def settled(self) -> None:
        """Waits until no connection is open."""
        while self._open:
            await self._changed.wait()

    def stop(self) -> None:
        """Ends the connections that are open, as well as the waiting for them; each is judged by what it has shown."""
        self._stopped = True
        for scope in self._scopes:
            scope.cancel()

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> int:
        return len(self._scopes)

    async def _have(self, case: ServerCase, tls: ssl.SSLContext | None, stream: ByteStream) -> None:
        """One connection, from its first byte to its verdict. Nothing that a client does comes out of here."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._stopped:  # it comes too late
                scope.cancel()
            try:
                secured = stream if tls is None else await self._secure(stream, tls)
                if secured is not None:
                    await self._judge(case, RawLink(secured, client=False, credit=case.credit, patience=self._patience))
            finally:
                await anyio.aclose_forcefully(stream)
                self._scopes.discard(scope)
                self._changed.set()
                self._changed = anyio.Event()

    async def _judge(self, case: ServerCase, link: RawLink) -> None:
        number = self._numbers[case.name] = self._numbers.get(case.name, 0) + 1
        stage = Stage(link, case, self._patience)
        try:
            await stage.play()
        finally:  # also when it is stopped in the middle
            if (verdict := stage.verdict(number)) is not None:
                self._tell(verdict)

    async def _secure(self, stream: ByteStream, tls: ssl.SSLContext) -> ByteStream | None:
        with anyio.move_on_after(self._patience):
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream, OSError):
                return await TLSStream.wrap(stream, server_side=True, ssl_context=tls, standard_compatible=False)
        await anyio.aclose_forcefully(stream)
        return None

    def _tell(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        del self.verdicts[:-KEPT]
        if self._on_verdict is not None:
            self._on_verdict(verdict)

    async def _listen(self, host: str, port: int) -> list[Listening]:
        """A listener for each case, all or none."""
        listening: list[Listening] = []
        try:
            for index, case in enumerate(self.cases):
                here = port + index if port else 0
                listener = await anyio.create_tcp_listener(local_host=host or None, local_port=here)
                listening.append((case, listener))
                self.ports[case.name] = int(listener.listeners[0].extra(SocketAttribute.local_address)[1])  # noqa: S610
        except OSError as error:
            for _, listener in listening:
                await listener.aclose()
            raise OSError(error.errno, f"port {port + len(listening)}: {error.strerror or error}") from error
        return listening

    async def _serve(self, case: ServerCase, listener: MultiListener[SocketStream], tls: ssl.SSLContext | None) -> None:
        async with listener:
            await listener.serve(partial(self._have, case, tls))


@asynccontextmanager
async def misbehave(
    *cases: str | ServerCase,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    patience: float = 10.0,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> AsyncGenerator[MisbehavingServer, None]:
    """A server that breaks the rules on purpose: ``async with misbehave("rst_after_header") as server``.

    ``cases``: names, or cases of your own; none: all. ``port``: of the first, the others follow it; 0: free ones.
    ``tls``: a server's context. ``patience``: seconds that a client may take for what it must do next. ``on_verdict``:
    called as each connection ends. Raises ValueError for a case that is not known, OSError for a port that is taken.

    Leaving waits for the connections that are open, as long as the patience, then ends them.
    """
    chosen = [known(case) if isinstance(case, str) else case for case in cases] or list(CASES.values())
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    server = MisbehavingServer(chosen, patience, on_verdict)
    listening = await server._listen(host, port)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        for case, listener in listening:
            tasks.start_soon(server._serve, case, listener, tls)
        try:
            yield server
            with anyio.move_on_after(0 if server._stopped else patience):
                await server.settled()
        except Exception as error:  # noqa: BLE001 - comes out as it is, below, and not in a group
            failure = error
        server.stop()
        with anyio.move_on_after(CLOSE_TIME):
            await server.settled()
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def known(name: str) -> ServerCase:
    """The case of that name. Raises ValueError."""
    if (case := CASES.get(name)) is None:
        raise ValueError(f"there is no case {name!r}")
    return case
