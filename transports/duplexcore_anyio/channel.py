"""A channel: the calls to one server, whatever becomes of the connections to it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from duplexcore import ClientConfig, Metadata, MetadataLike, ReplayBudget, RpcError, StatusCode
from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, Method, ServerStreamingMethod, UnaryMethod

from .channel_state import ChannelState
from .client_calls import ClientStreamingCall, DuplexCall, ServerStreamingCall
from .client_core import NO_METADATA, ClientCore
from .connections import Connections
from .credentials import CallCredentials, made_by
from .driver import Observer
from .waiting import backend, scopes_first

if TYPE_CHECKING:
    from .connecting import Connecting

__all__ = ["CallOptions", "Channel", "UnaryResult"]

Req = TypeVar("Req")
Resp = TypeVar("Resp")


class CallOptions(TypedDict, total=False):
    """What can be said of any call.

    ``metadata``: sent with the opening. ``timeout``: seconds from now. ``authority``: instead of the channel's.
    ``compression``: of the requests, one of the configuration's ``compressions``, "identity" for none; None: as the
    configuration says. ``inherit_deadline``: whether the deadline of the cancel scopes around the call counts; None: as
    the channel says. ``wait_for_ready``: whether the call waits also while the server can not be reached, instead of
    failing at once. ``credentials``: make metadata for the call, after those of the channel.
    """

    metadata: MetadataLike
    timeout: float | None
    authority: str | None
    compression: str | None
    inherit_deadline: bool | None
    wait_for_ready: bool
    credentials: CallCredentials | None


@dataclass(frozen=True, slots=True)
class UnaryResult(Generic[Resp]):
    """A unary call's response, the metadata that came with it, and whether it came compressed."""

    response: Resp
    initial_metadata: Metadata
    trailing_metadata: Metadata
    was_compressed: bool = False


class Channel:
    """A server, and the calls to it. Made by `connect`, or by `Channel.over` on a stream that is there already.

    Calls may be started by any task of the event loop. A channel has one connection that takes new calls, at most. When
    it is lost, or its server says that it is leaving, the next call makes another one; calls that the server has begun
    to work on end as UNAVAILABLE when their connection is lost, and go on where they are while it drains.
    """

    def __init__(
        self,
        connections: Connections,
        config: ClientConfig,
        *,
        inherit_deadline: bool,
        credentials: CallCredentials | None,
        local_credentials: bool,
    ) -> None:
        self._connections = connections
        self._config = config
        self._inherit = inherit_deadline
        self._credentials = credentials
        self._protected = config.scheme == "https" or (local_credentials and connections.is_local)
        self._replay = ReplayBudget()
        self._ambient_deadline = backend().current_effective_deadline  # as anyio has it
        self._left = False

    @staticmethod
    def over(
        stream: ByteStream,
        *,
        authority: str = "localhost",
        scheme: str = "http",
        config: ClientConfig | None = None,
        connect_timeout: float = 20.0,
        inherit_deadline: bool = True,
        credentials: CallCredentials | None = None,
        local_credentials: bool = False,
        observer: Observer | None = None,
    ) -> Connecting:
        """As `connect`, on any byte stream, which belongs to the channel from then on. There is no other connection
        after it: when it is lost or drains, new calls fail at once as UNAVAILABLE."""
        from .connecting import over_stream

        return over_stream(
            stream,
            authority=authority,
            scheme=scheme,
            config=config,
            connect_timeout=connect_timeout,
            inherit_deadline=inherit_deadline,
            credentials=credentials,
            local_credentials=local_credentials,
            observer=observer,
        )

    # --- calls ------------------------------------------------------------------------------------------------------

    async def unary(self, method: UnaryMethod[Req, Resp], request: Req, **options: Unpack[CallOptions]) -> Resp:
        """Sends one request, returns the one response. Raises `RpcError` for a status other than OK."""
        return (await self._ask(method, request, options))[0]

    async def unary_result(
        self, method: UnaryMethod[Req, Resp], request: Req, **options: Unpack[CallOptions]
    ) -> UnaryResult[Resp]:
        """As `unary`, with what else came."""
        response, core = await self._ask(method, request, options)
        engine = core.engine
        initial = engine.initial_metadata or NO_METADATA
        return UnaryResult(response, initial, core.trailing_metadata, engine.was_compressed)

    async def _ask(self, method: UnaryMethod[Req, Resp], request: Req, options: CallOptions) -> tuple[Resp, ClientCore]:
        """The response, and the call, which is over."""
        payload = method.request_codec.encode(request)
        core = await self._start(method, True, **options)
        try:
            core.send_only(payload)
            message = await core.take()
            if message is None:
                await core.fail()
            try:
                return method.response_codec.decode(message), core
            except Exception as error:
                raise core.undecodable(error) from error
        finally:
            core.leave()

    def server_streaming(
        self, method: ServerStreamingMethod[Req, Resp], request: Req, **options: Unpack[CallOptions]
    ) -> ServerStreamingCall[Resp]:
        """A call that sends one request and reads any number of responses; for `async with`."""
        return ServerStreamingCall(self._starter(method, options, single=False), method, request)

    def client_streaming(
        self, method: ClientStreamingMethod[Req, Resp], **options: Unpack[CallOptions]
    ) -> ClientStreamingCall[Req, Resp]:
        """A call that sends any number of requests and reads one response; for `async with`."""
        return ClientStreamingCall(self._starter(method, options, single=True), method)

    def duplex(self, method: DuplexMethod[Req, Resp], **options: Unpack[CallOptions]) -> DuplexCall[Req, Resp]:
        """A call in which each side sends any number of messages; for `async with`."""
        return DuplexCall(self._starter(method, options, single=False), method)

    # --- the connections --------------------------------------------------------------------------------------------

    @property
    def state(self) -> ChannelState:
        """What a new call meets."""
        return self._connections.state

    async def wait_for_state_change(self, from_state: ChannelState) -> ChannelState:
        """Until the state is another one than ``from_state``; which it is then. What came in between is not told."""
        return await self._connections.wait_for_state_change(from_state)

    @property
    def peer(self) -> str:
        """The address of the server, as a target, where new calls go; what the channel was told to connect to while
        there is no connection."""
        return self._connections.peer

    @property
    def open_calls(self) -> int:
        """How many calls have a stream, on all connections."""
        return self._connections.open_calls

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for one, in order, or for a connection (CONN-7)."""
        return self._connections.waiting_calls

    @property
    def is_closed(self) -> bool:
        """Whether every connection is over and there will be no other: this side has closed the channel, or the stream
        of `Channel.over` is lost."""
        return self._connections.closed.is_set()

    @property
    def is_draining(self) -> bool:
        """Whether a server that this channel has calls on has said that it is leaving: they go on there, new ones go
        to another connection."""
        return self._connections.is_draining

    async def wait_closed(self) -> str:
        """Until `is_closed`; says why."""
        await self._connections.closed.wait()
        return self._connections.reason

    async def aclose(self) -> None:
        """Cancels the calls that are left, says GOAWAY and closes, within 2 s. A second time it does nothing."""
        self._left = True
        await self._connections.aclose()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _starter(
        self, method: Method[Any, Any], options: CallOptions, *, single: bool
    ) -> Callable[[], Awaitable[ClientCore]]:
        return lambda: self._start(method, single, **options)

    async def _start(
        self,
        method: Method[Any, Any],
        single: bool,
        metadata: MetadataLike = (),
        timeout: float | None = None,
        authority: str | None = None,
        compression: str | None = None,
        inherit_deadline: bool | None = None,
        wait_for_ready: bool = False,
        credentials: CallCredentials | None = None,
    ) -> ClientCore:
        if self._left:
            raise anyio.ClosedResourceError("the channel is closed")
        deadline, ambient = self._deadline(timeout, self._inherit if inherit_deadline is None else inherit_deadline)
        if deadline == -math.inf:  # cancelled already
            await anyio.lowlevel.checkpoint()
        if self._credentials is not None or credentials is not None:
            metadata = Metadata(metadata) + await self._identify(credentials, method.path, authority, deadline)
        place = self._connections.place(wait_for_ready=wait_for_ready)
        engine = place.engine
        if engine.waiting_calls >= engine.config.max_waiting_calls:
            text = f"{engine.waiting_calls} calls wait for a stream already (max_waiting_calls)"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text, unprocessed=True)
        call = engine.start_call(
            method.path,
            metadata,
            deadline=deadline,
            authority=authority,
            content_subtype=method.request_codec.content_subtype,
            compression=compression,
            single_response=single,
            replay=self._replay,
        )
        core = ClientCore(call, place, self._connections, ambient=ambient, wait_for_ready=wait_for_ready)
        if deadline is not None or call.ended is not None:
            place.settle()
        core.tell()
        return core

    async def _identify(
        self, own: CallCredentials | None, path: str, authority: str | None, deadline: float | None
    ) -> Metadata:
        """The metadata of the credentials, made within the call's time (SEC-15)."""
        if not self._protected:
            text = "call credentials are not sent without TLS; local_credentials=True allows it on this machine"
            raise RpcError(StatusCode.UNAUTHENTICATED, text, unprocessed=True)
        made = Metadata()
        with anyio.CancelScope(deadline=math.inf if deadline is None else deadline) as scope:
            for credentials in (self._credentials, own):
                if credentials is not None:
                    made += await made_by(credentials, authority=authority or self._config.authority, path=path)
        if scope.cancelled_caught:
            await scopes_first()
            raise RpcError(StatusCode.DEADLINE_EXCEEDED, "the call credentials took too long", unprocessed=True)
        if self._left:
            raise anyio.ClosedResourceError("the channel is closed")
        return made

    def _deadline(self, timeout: float | None, inherit: bool) -> tuple[float | None, bool]:
        """The call's deadline, and whether it is that of a cancel scope around it: -inf when that is cancelled."""
        if timeout is not None and math.isnan(timeout):
            raise ValueError("timeout is not a number")
        own = math.inf if timeout is None else anyio.current_time() + timeout
        ambient = self._ambient_deadline() if inherit else math.inf
        if ambient < own:
            return ambient, True
        return (None if own == math.inf else own), False
