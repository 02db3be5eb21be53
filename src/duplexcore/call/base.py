"""What both sides of a call have in common: the queues, the flow of bytes through them, and the one end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ..compression import compression_named
from ..config import Config
from ..errors import LocalProtocolError, MessageTooLargeError
from ..status import ErrorCode
from .events import CallEnded, CallEvent
from .framing import PREFIX, prefix_of, size_of
from .inbox import Inbox
from .outbox import Outbox
from .tables import SAID, Receive, Say, Send

if TYPE_CHECKING:
    from .lane import Lane

__all__: list[str] = []

# What is used for every message has a name here: to look a member up in its enum takes as long as to call a function.
_IDLE: Final = Send.IDLE
_CLOSED: Final = Send.CLOSED
_ENDED: Final = Send.ENDED
_UNHEARD: Final = Receive.IDLE
_OVER: Final = Receive.ENDED
_MESSAGE: Final = Say.MESSAGE
_END: Final = Say.END


class CallOwner(Protocol):
    """Who hears that a call has something to say: the connection. (Not for its users: hence the underscores.)"""

    def _call_readable(self, call: Any) -> None: ...

    def _call_writable(self, call: Any) -> None: ...

    def _deadline_over(self, call: Any) -> None:
        """The call has ended: its deadline means nothing any more."""


class Call:
    """One gRPC call, without what carries it. See `ClientCall` and `ServerCall`, which call its methods by name: to
    make `super()` takes longer than most of them."""

    __slots__ = (
        "_inbox",
        "_lane",
        "_outbox",
        "_owner",
        "compression",
        "config",
        "context",
        "deadline",
        "ended",
        "method",
        "receive_state",
        "send_state",
    )

    def __init__(self, method: str, lane: Lane, owner: CallOwner, config: Config) -> None:
        #: ``/package.Service/Method``, as it is on the wire.
        self.method: str = method
        self.config = config
        #: Absolute, on the clock whose readings are handed in as ``now``; None: no deadline.
        self.deadline: float | None = None
        self.send_state: Send = _IDLE
        self.receive_state: Receive = _UNHEARD
        #: The outcome, known as soon as it has come, whether or not anyone has read up to it.
        self.ended: CallEnded | None = None
        #: Free for the driver's use; neither pickled nor looked at.
        self.context: Any = None

        self._lane = lane
        self._owner = owner
        #: The coding of what this side sends, unless a message says otherwise; None: plain. Fixed once it is told to
        #: the peer with the headers.
        self.compression: str | None = None
        self._inbox = Inbox(lane, config)
        self._outbox = Outbox()

    # --- the application's side ---------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether `send_message` takes a message now (FLOW-10)."""
        return self._outbox.size < self.config.send_buffer and self.send_state < _CLOSED

    def send_message(self, payload: bytes | bytearray | memoryview, compress: bool | None = None) -> bool:
        """Queues one message, whole. False: the call has ended already, see `ended`.

        ``compress``: None packs it with the call's ``compression``, if it has one and the result is smaller; True packs
        it in any case, unless it is empty; False never does (COMP-8, COMP-9).

        Raises `LocalProtocolError` after the send half was closed or while the call is not writable (wait for
        `CallWritable`), `MessageTooLargeError` above ``max_send_message_size``.
        """
        if self.offer_message(payload, compress):
            return True
        if self._may_say(_MESSAGE) is _ENDED:
            return False
        raise LocalProtocolError("the send buffer is full: wait for CallWritable before the next message")

    def offer_message(self, payload: bytes | bytearray | memoryview, compress: bool | None = None) -> bool:
        """`send_message`, where the call is writable. False: it is not, and nothing has happened."""
        plain = type(payload) is bytes and self.compression is None and not compress
        size = len(payload) if plain else size_of(payload)
        config = self.config
        if size > config.max_send_message_size:
            raise MessageTooLargeError(
                f"a message of {size} bytes is above max_send_message_size, {config.max_send_message_size}"
            )
        following = SAID[_MESSAGE][self.send_state]
        outbox = self._outbox
        if following is None or following is _ENDED or outbox.size >= config.send_buffer:
            return False
        if plain:
            prefix, body = size.to_bytes(PREFIX, "big"), payload
        else:
            prefix, body = self._frame(payload, compress)  # refuses what is no bytes, before anything has changed
        self.send_state = following
        if not outbox.size:
            self._lane.wants_write()
        outbox.parts += (prefix, body)  # type: ignore[arg-type]
        outbox.size += PREFIX + len(body)
        return True

    def _frame(self, payload: bytes | bytearray | memoryview, compress: bool | None) -> tuple[bytes, bytes]:
        """Prefix and body."""
        if compress and self.compression is None:
            self._no_compression()
        body = b"".join((payload,))  # whatever holds bytes in one piece
        if self.compression is not None and compress is not False and body:
            packed = compression_named(self.compression).compress(body)
            if compress or len(packed) < len(body):
                return prefix_of(packed, compressed=True), packed
        return prefix_of(body), body

    def _no_compression(self) -> None:
        """A message is to be packed, and the call has no coding."""
        raise LocalProtocolError("the call has no compression: choose one when it is started")

    def take_message(self) -> bytes | None:
        """The next message; None when none waits. What stands before it in the queue (the client's
        `InitialMetadata`) is passed over; `HalfClosed` and `CallEnded` are left for `next_event`."""
        return self._inbox.take_message()

    def next_event(self) -> CallEvent | None:
        """The next event; None when none waits."""
        return self._inbox.next_event()

    @property
    def was_compressed(self) -> bool:
        """Whether the message that was taken last came compressed (COMP-11)."""
        return self._inbox.was_compressed

    # --- states and the end --------------------------------------------------------------------------------------

    def _may_say(self, what: Say) -> Send:
        following = SAID[what][self.send_state]
        if following is None:
            raise LocalProtocolError(_MISUSE[what])
        return following

    def _end(self, ended: CallEnded) -> None:
        """The one place where a call ends; what comes later changes nothing."""
        if self.ended is not None:
            return
        self.ended = ended
        following = SAID[_END][self.send_state]
        assert following is not None, "every state has an end"
        self.send_state = following
        self.receive_state = _OVER
        if self._outbox.parts:
            self._outbox.clear()
        self._inbox.end(ended)
        self._owner._call_readable(self)  # told to look already or not: writers and watchers are waiting, too
        if self.deadline is not None:
            self._owner._deadline_over(self)

    # --- inside --------------------------------------------------------------------------------------------------

    @property
    def joinable(self) -> int:
        """See `CallSide`."""
        return self._inbox.joinable

    def _put(self, event: CallEvent) -> None:
        if self._inbox.put(event):
            self._owner._call_readable(self)

    # --- bytes out -----------------------------------------------------------------------------------------------

    def _pull_payload(self, room: int) -> bytes | memoryview:
        """Up to ``room`` bytes of the waiting messages; at least one byte of both."""
        outbox = self._outbox
        if outbox.size < self.config.send_buffer:
            return outbox.pull(room)
        payload = outbox.pull(room)
        if self.writable:
            self._owner._call_writable(self)
        return payload

    def __repr__(self) -> str:
        states = f"send={self.send_state.name} receive={self.receive_state.name}"
        return f"<{type(self).__name__} {self.method or 'unannounced'} {states}>"

    # --- pickling and fingerprints -------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        names = (name for cls in type(self).__mro__ for name in getattr(cls, "__slots__", ()))
        return {name: getattr(self, name) for name in names if name != "context"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.context = None

    def fingerprint_state(self) -> object:
        state = self.__getstate__()
        del state["config"]  # that of the connection, which never changes
        return state


_MISUSE = {
    Say.OPENING: "initial metadata can be sent once, before the first message",
    Say.MESSAGE: "this side has ended its messages: send before half_close() or finish()",
    Say.HALF_CLOSE: "nothing to half-close: the call has not been opened",
    Say.FINISH: "the call has its status already: finish() can be said once",
}


def reset_text(code: int, reason: str) -> str:
    """What the status message says of an RST_STREAM."""
    name = ErrorCode(code).name if code in ErrorCode.__members__.values() else f"error code {code}"
    reason = reason or _MEANING.get(code, "")
    return f"the peer reset the stream with {name}" + (f": {reason}" if reason else "")


#: What PROTOCOL-HTTP2 "Errors" wants to be said of them.
_MEANING: dict[int, str] = {
    ErrorCode.ENHANCE_YOUR_CALM: "too much bandwidth or too many requests for it",
    ErrorCode.INADEQUATE_SECURITY: "the connection is not secure enough for the call",
}
