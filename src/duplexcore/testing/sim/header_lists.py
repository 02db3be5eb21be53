"""How large a call's header lists are, by its script, as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 section
6.5.2), and what becomes of those that are larger than a side takes (MD-10 to MD-12).

Sides know each other's limits before a run begins. So nothing is ever framed above the hard one; above the soft one is
what its hearer alone refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from duplexcore import ClientConfig, Metadata, Status, StatusCode, __version__
from duplexcore.metadata import MetadataLike

from .blocks import FIELD

if TYPE_CHECKING:
    from .apps import ServerApp
    from .simulation import Scenario

__all__ = ["agent_of", "is_tight", "request_size", "response_size", "shortest_end", "told"]

#: The shortest and the longest value of ``grpc-timeout``.
TIMEOUTS: Final = (2, 9)
#: How much of a message goes where all of it does not fit: characters.
SHORT: Final = 100
USUAL: Final = ClientConfig().max_header_list_size


def is_tight(scenario: Scenario) -> bool:
    """Whether header lists may be above a limit."""
    return min(scenario.client.max_header_list_size, scenario.server.max_header_list_size) < USUAL


def request_size(scenario: Scenario, index: int) -> tuple[int, int]:
    """Of a call's request: the least and the most, since what is left of its time is said when it is framed."""
    script, config = scenario.calls[index], scenario.client
    size = _field(":method", "POST") + _field(":scheme", config.scheme) + _field("te", "trailers")
    size += _field(":path", f"/{script.service}/{index}") + _field(":authority", script.authority or config.authority)
    size += _type(script.subtype) + _field("user-agent", agent_of(config)) + _codings(config.compressions)
    coding = script.coding or config.compression
    size += _coding(None if coding == "identity" else coding) + _metadata(script.metadata)
    if script.timeout is None:
        return size, size
    least, most = (size + _field("grpc-timeout", "0" * digits) for digits in TIMEOUTS)
    return least, most


def response_size(scenario: Scenario, app: ServerApp) -> int:
    """Of the headers of an answer."""
    script = app.script
    size = _field(":status", "200") + _type(script.subtype) + _codings(scenario.server.compressions)
    return size + _coding(app.coding) + (_metadata(script.early) if script.initial_metadata else 0)


def shortest_end(scenario: Scenario, index: int, code: StatusCode) -> int:
    """Of the shortest list that ends a call to which nothing was answered before."""
    script, served = scenario.calls[index], scenario.server.content_subtypes
    subtype = script.subtype if served is None or script.subtype in served else ""
    return _alone(subtype) + _status(Status(code))


def told(scenario: Scenario, app: ServerApp) -> tuple[Status, MetadataLike]:
    """What the client is told where its server's application has given a status: all of it, or what fits."""
    status, metadata = app.said, app.script.trailing_metadata
    assert status is not None
    if is_tight(scenario):
        begun = app.script.initial_metadata or app.accepted
        front = 0 if begun else _alone(app.script.subtype)
        for said, more in _ways(status, metadata):
            if front + _status(said) + _metadata(more) <= scenario.client.hard_header_list_size:
                return said, more
    return status, metadata


def agent_of(config: ClientConfig) -> str:
    """What a client calls itself."""
    return f"{config.user_agent} grpc-python-duplexcore/{__version__}".lstrip()


def _ways(status: Status, metadata: MetadataLike) -> Iterator[tuple[Status, MetadataLike]]:
    yield status, metadata
    yield Status(status.code, status.message[:SHORT]), ()
    yield Status(status.code), ()


def _field(name: str, value: str) -> int:
    return len(name) + len(value) + FIELD


def _alone(subtype: str) -> int:
    """What stands before a status where nothing was answered before it."""
    return _field(":status", "200") + _type(subtype)


def _type(subtype: str) -> int:
    return _field("content-type", f"application/grpc+{subtype}" if subtype else "application/grpc")


def _codings(codings: tuple[str, ...]) -> int:
    return _field("grpc-accept-encoding", ",".join(("identity", *codings)))


def _coding(coding: str | None) -> int:
    return 0 if coding is None else _field("grpc-encoding", coding)


def _status(status: Status) -> int:
    size = _field("grpc-status", str(int(status.code)))
    if status.message:
        size += _field("grpc-message", "") + sum(map(_escaped, status.message.encode()))
    return size


def _escaped(byte: int) -> int:
    return 1 if 0x20 <= byte <= 0x7E and byte != ord("%") else len("%00")


def _metadata(metadata: MetadataLike) -> int:
    """Bytes go as base64 without padding."""
    return sum(len(name) + FIELD + _length(value) for name, value in Metadata(metadata))


def _length(value: str | bytes) -> int:
    return -(-len(value) * 4 // 3) if isinstance(value, bytes) else len(value)
