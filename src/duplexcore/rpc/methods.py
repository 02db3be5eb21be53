"""Methods as values: a path, a kind, and the codecs of both directions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Generic, TypeVar

from .codec import Codec, codec_for

__all__ = ["ClientStreamingMethod", "DuplexMethod", "Method", "MethodKind", "ServerStreamingMethod", "UnaryMethod"]

Req = TypeVar("Req")
# Covariant, so that what a checker expects of a response does not become the method's type. (A codec's encoder would
# ask for more; nobody meets it through a method of another type.)
Resp_co = TypeVar("Resp_co", covariant=True)

_PATH = re.compile(r"/([!-.0-~]+)/([!-.0-~]+)")


class MethodKind(Enum):
    """Which sides of a method are streams."""

    UNARY = "unary"
    CLIENT_STREAMING = "client-streaming"
    SERVER_STREAMING = "server-streaming"
    DUPLEX = "duplex"

    __hash__ = object.__hash__  # as quick as of what is no enum: every call looks its kind up


@dataclass(frozen=True)
class Method(Generic[Req, Resp_co]):
    """One method of a service. Use one of the four kinds: `UnaryMethod`, `ClientStreamingMethod`,
    `ServerStreamingMethod`, `DuplexMethod`.

    ``path``: ``/package.Service/Method``. ``request`` and ``response``: ``bytes``, a protobuf message class, or a
    `Codec`. Raises ValueError for a path of another form, TypeError for what is no type of messages.
    """

    #: ``/package.Service/Method``, as it is on the wire (D-6).
    path: str
    request: type[Req] | Codec[Req]
    response: type[Resp_co] | Codec[Resp_co]
    request_codec: Codec[Req] = field(init=False, repr=False, compare=False)
    response_codec: Codec[Resp_co] = field(init=False, repr=False, compare=False)

    kind: ClassVar[MethodKind]

    def __post_init__(self) -> None:
        if not hasattr(type(self), "kind"):
            raise TypeError(
                "a method is unary, client-streaming, server-streaming or duplex: use the class of its kind"
            )
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"method path {self.path!r} is not of the form '/package.Service/Method'")
        object.__setattr__(self, "request_codec", codec_for(self.request))
        object.__setattr__(self, "response_codec", codec_for(self.response))

    @property
    def service(self) -> str:
        """``package.Service``."""
        return self.path[1:].partition("/")[0]

    @property
    def name(self) -> str:
        """The method's name without its service."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class UnaryMethod(Method[Req, Resp_co]):
    """``rpc M (Req) returns (Resp)``: one request, one response."""

    kind = MethodKind.UNARY


@dataclass(frozen=True)
class ClientStreamingMethod(Method[Req, Resp_co]):
    """``rpc M (stream Req) returns (Resp)``: any number of requests, then one response."""

    kind = MethodKind.CLIENT_STREAMING


@dataclass(frozen=True)
class ServerStreamingMethod(Method[Req, Resp_co]):
    """``rpc M (Req) returns (stream Resp)``: one request, any number of responses."""

    kind = MethodKind.SERVER_STREAMING


@dataclass(frozen=True)
class DuplexMethod(Method[Req, Resp_co]):
    """``rpc M (stream Req) returns (stream Resp)``: each side sends 0 to N messages, in no order between the two."""

    kind = MethodKind.DUPLEX
