"""A raw peer on a byte stream: sends what it is given, right or wrong, and reads frames. Nothing of the engine.

`dial` connects to a server; a server wraps each stream that its listener hands it in a `RawLink`. Every wait has a
deadline, and what is kept is bounded, whatever the other side sends. Works on asyncio and trio.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from duplexcore.testing import raw
from duplexcore.testing.raw import RawFrame, RawPeer

#: How many frames, and how many bytes of them, `RawLink.frames` keeps: the oldest go first.
KEPT_FRAMES, KEPT_BYTES = 20_000, 8 * 2**20
#: The longest frame or header block that is waited for, in bytes.
LONGEST = 2**20
#: The most bytes of acknowledgements and credit that wait for the other side to read.
OWED = 2**20


class RawLink:
    """A `RawPeer` on a byte stream.

    Several tasks may send and read. While bytes are sent the other side is read as well, so that two peers that both
    write never wait for each other.
    """

    def __init__(
        self, stream: ByteStream, *, client: bool, answer: bool = True, credit: bool = True, patience: float = 10.0
    ) -> None:
        """
        ``answer``: acknowledge each SETTINGS and PING as it is read.
        ``credit``: give back the window of all DATA as it is read, of the stream and of the connection.
        ``patience``: seconds that one `send` may take before the other side counts as one that does not read.
        """
        self.stream = stream
        self.peer = RawPeer(client=client)
        #: What has been read so far; the oldest are dropped beyond `KEPT_FRAMES` and `KEPT_BYTES`.
        self.frames: list[RawFrame] = []
        #: How the other side went: "closed", "reset", "unreadable" (see `fault`); None while it is there.
        self.ended: str | None = None
        #: What could not be read, in words.
        self.fault = ""
        #: Whether something could not be written: the other side is gone, or has not read for `patience`.
        self.deaf = False
        self.answer, self.credit, self.patience = answer, credit, patience
        self._kept = 0
        self._pending: deque[RawFrame] = deque()
        self._owed = bytearray()
        self._reading, self._writing = anyio.Lock(), anyio.Lock()

    async def send(self, data: bytes) -> bool:
        """Whether the other side has taken it. What it has sent before it went can still be read after False."""
        async with self._writing:
            return await self._write(self._due() + data)

    async def frame(self, timeout: float) -> RawFrame | None:
        """The next frame; None when nothing came within ``timeout`` seconds, or when the other side has `ended`."""
        with anyio.move_on_after(timeout):
            while not self._pending and self.ended is None:
                await self._pay()
                await self._read()
        await self._pay()
        return self._pending.popleft() if self._pending else None

    async def until(self, wanted: Callable[[RawFrame], bool], timeout: float) -> RawFrame | None:
        """The next frame that is ``wanted``, past others (all are in `frames`); None as with `frame`."""
        by = anyio.current_time() + timeout
        while (one := await self.frame(max(0.0, by - anyio.current_time()))) is not None:
            if wanted(one):
                return one
        return None

    async def send_eof(self) -> bool:
        """No more bytes from here (not possible over TLS: False)."""
        try:
            await self.stream.send_eof()
        except (NotImplementedError, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            return False
        finally:
            self.deaf = True
        return True

    async def aclose(self) -> None:
        """Close at once: nothing is waited for."""
        await anyio.aclose_forcefully(self.stream)

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write(self, data: bytes) -> bool:
        if self.deaf:
            return False
        self.deaf = True  # until it has succeeded: also a send that is cancelled may have left half a frame
        with anyio.move_on_after(self.patience):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen)
                if await self._sent(data):
                    self.deaf = False
                tasks.cancel_scope.cancel()
        return not self.deaf

    async def _sent(self, data: bytes) -> bool:
        try:
            await self.stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            return False
        return True

    def _due(self) -> bytes:
        owed = bytes(self._owed)
        self._owed.clear()
        return owed

    async def _pay(self) -> None:
        if self._owed and not self.deaf:
            async with self._writing:
                if owed := self._due():
                    await self._write(owed)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while self.ended is None and len(self._pending) < KEPT_FRAMES:
            await self._read(beside=True)

    async def _read(self, *, beside: bool = False) -> None:
        """What comes next, once; ``beside``: whether or not frames wait to be taken."""
        async with self._reading:
            if self.ended is not None or (self._pending and not beside):
                return
            try:
                self._take(await self.stream.receive())
            except anyio.EndOfStream:
                self.ended = "closed"
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
                self.ended, self.fault = "reset", str(error)
            except raw.WireError as error:
                self.ended, self.fault = "unreadable", str(error)

    def _take(self, incoming: bytes) -> None:
        for one in self.peer.read(incoming):
            self._pending.append(one)
            self.frames.append(one)
            self._kept += len(one.payload)
            self._owe(one)
        if self.peer.held > LONGEST:
            raise raw.WireError(f"a frame or header block of more than {LONGEST:,} bytes")
        if len(self.frames) > KEPT_FRAMES or self._kept > KEPT_BYTES:
            self._forget()

    def _owe(self, one: RawFrame) -> None:
        if len(self._owed) > OWED:
            return
        if self.answer and one.type == raw.SETTINGS and not one.flags & raw.ACK:
            self._owed += raw.settings_ack()
        elif self.answer and one.type == raw.PING and not one.flags & raw.ACK:
            self._owed += raw.ping(one.payload, ack=True)
        elif self.credit and one.type == raw.DATA and one.payload:
            self._owed += raw.window_update(0, len(one.payload))
            if not one.end:
                self._owed += raw.window_update(one.stream, len(one.payload))

    def _forget(self) -> None:
        """The older half goes."""
        half = max(1, len(self.frames) // 2)
        self._kept -= sum(len(one.payload) for one in self.frames[:half])
        del self.frames[:half]


async def dial(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    timeout: float = 5.0,
    answer: bool = True,
    credit: bool = True,
) -> RawLink:
    """A link to a server; ``host`` is a name, an address, or ``unix:PATH``. Nothing has been said on it yet.

    Raises `OSError` when nobody answers there, also for TLS that fails, and `TimeoutError` after ``timeout`` seconds.
    """
    try:
        with anyio.fail_after(timeout):
            stream: ByteStream
            if host.startswith("unix:"):
                stream = await anyio.connect_unix(host.removeprefix("unix:").removeprefix("//"))
            else:
                stream = await anyio.connect_tcp(host, port)
            if tls is not None:
                stream = await _over_tls(stream, tls, server_name or host)
    except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
        raise ConnectionError("the other side hangs up while the connection is made") from error
    return RawLink(stream, client=True, answer=answer, credit=credit)


def protocol(link: RawLink) -> str | None:
    """What ALPN has selected; None without TLS, or when nothing was."""
    return link.stream.extra(TLSAttribute.alpn_protocol, None)  # noqa: S610


async def _over_tls(stream: ByteStream, tls: ssl.SSLContext, name: str) -> ByteStream:
    """The handshake; the socket does not outlive one that fails."""
    try:
        return await TLSStream.wrap(
            stream, server_side=False, hostname=name, ssl_context=tls, standard_compatible=False
        )
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
