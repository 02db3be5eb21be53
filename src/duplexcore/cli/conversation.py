"""The conversation that the demo holds: what is said, by whom, in which order, and whether it went that way.

client -> server   method + metadata
server -> client   response 1                  (before any request)
client -> server   request 1
server -> client   response 2
server -> client   response 3                  (two answers to one request)
server -> client   last response + status + trailing metadata      (the client never half-closed)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from duplexcore.rpc import DuplexMethod

from .proto.conversation_pb2 import InputMessage, OutputMessage
from .trace import HALF_CLOSE, OPENING, Arrow, Kind, Side, Trace

__all__ = ["CONVERSE", "METADATA", "TRAILING_METADATA", "Outcome", "name_of", "verify"]

CONVERSE = DuplexMethod("/duplexcore.demo.v1.Conversation/DuplexStreamingFunction", InputMessage, OutputMessage)
METADATA = {"tone": "friendly"}
TRAILING_METADATA = {"answers-given": "2"}

WELCOME = OutputMessage(number=1, text="welcome; I speak first")
QUESTION = InputMessage(number=1, text="who is there, and what do you offer?")
ANSWERS = (
    OutputMessage(number=2, text="a server", in_reply_to=1),
    OutputMessage(number=3, text="two answers to one request", in_reply_to=1),
)
LAST = OutputMessage(number=4, text="that was all, though you may still speak")


def name_of(sender: Side, payload: bytes) -> str:
    """What a message is called in the drawing."""
    if sender is Side.CLIENT:
        return request_name(InputMessage.FromString(payload))
    return response_name(OutputMessage.FromString(payload))


def request_name(message: InputMessage) -> str:
    return f"request {message.number}"


def response_name(message: OutputMessage) -> str:
    return f"response {message.number}"


@dataclass
class Outcome:
    """What the client has got, in the terms of whichever implementation it was."""

    responses: list[OutputMessage] = field(default_factory=list)
    status: str = ""
    trailing_metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must have been so."""

    text: str
    held: bool


def verify(trace: Trace, outcome: Outcome, *, one_go: bool) -> list[Check]:
    """What the conversation had to be, each point with whether it was. ``one_go``: the last message and the status must
    have left in one write; known only of our own server."""
    wire = [arrow for arrow in trace.arrows if arrow.frames and arrow.kind is not Kind.CONNECTION]
    said = [part for arrow in wire for part in arrow.label.split(" + ")]
    messages = [part for part in said if part.startswith(("request ", "response "))]
    ends = [arrow for arrow in wire if arrow.kind is Kind.END and _from_server(arrow)]
    checks = [
        Check("the client opened the call with method and metadata", wire != [] and wire[0].label == OPENING),
        Check("response 1 came before any request", messages[:2] == ["response 1", "request 1"]),
        Check("one request got two answers", messages[2:4] == ["response 2", "response 3"]),
        Check("a last response came unasked", messages[4:] == ["response 4"]),
        Check("every response arrived as it was sent", outcome.responses == [WELCOME, *ANSWERS, LAST]),
        Check("the server ended the call with status OK", outcome.status == "OK" and len(ends) == 1),
        Check("trailing metadata came along", outcome.trailing_metadata.items() >= TRAILING_METADATA.items()),
        Check("the client never half-closed", ends != [] and not _half_closed(trace, ends[0])),
    ]
    if one_go:
        together = ends != [] and "response 4" in ends[0].label
        checks.append(Check("the last response, status and trailing metadata left in one go", together))
    return checks


def _from_server(arrow: Arrow) -> bool:
    return arrow.frames[0].sender is Side.SERVER


def _half_closed(trace: Trace, end: Arrow) -> bool:
    """Whether the client ended its side of the stream before the server did."""
    before = (arrow for arrow in trace.arrows if arrow.number < end.number)
    return any(
        arrow.label.endswith(HALF_CLOSE) or (frame.ends_stream and frame.sender is Side.CLIENT)
        for arrow in before
        for frame in arrow.frames
    )
