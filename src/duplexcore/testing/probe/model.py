"""What the probe is about: the server, the cases, and what came of them."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from .answers import Answer, Came, Normal

if TYPE_CHECKING:
    from .talk import Talk

#: A method that no server has.
UNKNOWN = "/duplexcore.probe.NoSuchService/NoSuchMethod"


@dataclass(frozen=True)
class Target:
    """The server, and what is known of it.

    ``host``: a name, an address or ``unix:PATH``. ``tls``: a context whose ALPN protocols are ``["h2"]``.
    ``method``: one that answers ``message`` (bytes, without prefix) with OK, of the given ``kind``, "unary" or
    "duplex"; without it calls go to a method that no server has. ``timeout``: seconds for each answer. ``floods``: how
    many frames a flood may have; 0: no floods. ``metadata``: goes with each good call. Raises ValueError.
    """

    host: str
    port: int = 0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    authority: str | None = None
    method: str | None = None
    kind: str = "unary"
    message: bytes = b""
    timeout: float = 5.0
    floods: int = 0
    metadata: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in {"unary", "duplex"}:
            raise ValueError(f"a method is unary or duplex, not {self.kind!r}")
        if self.method is not None and (not self.method.startswith("/") or self.method.count("/") != 2):
            raise ValueError(f"a method is /package.Service/Method, not {self.method!r}")
        if self.timeout <= 0:
            raise ValueError("timeout: more than 0 seconds")

    @property
    def path(self) -> str:
        return self.method or UNKNOWN

    @property
    def normal(self) -> Normal:
        """How a good call ends: OK, or UNIMPLEMENTED where the method is not known."""
        return Normal(0 if self.method else 12)

    def __str__(self) -> str:
        if self.host.startswith("unix:"):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Level(Enum):
    """How much a rule binds. MUST: the sources leave no choice. SHOULD: they advise. NOTE: good to know."""

    MUST = "must"
    SHOULD = "should"
    NOTE = "note"


class Need(Enum):
    """What a case cannot be judged without; the value is the reason for which it is skipped."""

    METHOD = "needs a method that answers (--method)"
    UNARY = "needs a unary method (--method, --kind unary)"
    DUPLEX = "needs a duplex method (--method, --kind duplex)"
    TLS = "needs TLS (--tls)"
    FLOODS = "a flood: only on request (--floods)"

    def met(self, target: Target) -> bool:
        match self:
            case Need.METHOD:
                return target.method is not None
            case Need.UNARY | Need.DUPLEX:
                return target.method is not None and target.kind == self.name.lower()
            case Need.TLS:
                return target.tls is not None
            case Need.FLOODS:
                return target.floods > 0


#: What is sent, in order. Returns what came when the case judges itself; None: the answer to stream 1 is judged.
Script = Callable[["Talk"], Awaitable["Came | None"]]


@dataclass(frozen=True)
class Case:
    """One odd thing to send, and what a server may do about it.

    ``id`` begins with the rule of docs/requirements.md; ``by`` is its source. ``allowed`` answers pass, ``tolerated``
    ones pass with a remark, any other fails. ``survives``: unless the server has ended the connection for what
    was sent, a good call on it must be answered afterwards. ``hello``: preface and SETTINGS are sent before the script.
    """

    id: str
    title: str
    by: str
    level: Level
    allowed: tuple[Answer, ...]
    tolerated: tuple[Answer, ...]
    needs: tuple[Need, ...]
    survives: bool
    hello: bool
    script: Script

    @property
    def group(self) -> str:
        return self.id.partition("-")[0]

    @property
    def rule(self) -> str:
        return self.id.partition("/")[0]

    @property
    def expected(self) -> str:
        return "; or ".join(dict.fromkeys(answer.words for answer in self.allowed))


class Verdict(Enum):
    """PASS; NOTE: passed, with a remark; FAIL; SKIP: could not be judged."""

    PASS = "pass"  # noqa: S105
    NOTE = "note"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Result:
    """What came of a case.

    ``came`` in words; ``remark``: why it is not a plain pass; ``frames``: what the server has sent, in brief;
    ``answers``: whether a good call on a new connection was answered afterwards, None where it was not asked.
    """

    case: Case
    verdict: Verdict
    came: str = ""
    remark: str = ""
    frames: tuple[str, ...] = ()
    answers: bool | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """All results, in the order of the cases."""

    target: Target
    results: tuple[Result, ...] = field(default=())

    def count(self, verdict: Verdict, group: str | None = None) -> int:
        return sum(one.verdict is verdict and group in (None, one.case.group) for one in self.results)

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(one.case.group for one in self.results))

    @property
    def failures(self) -> list[Result]:
        """Of every level."""
        return [one for one in self.results if one.verdict is Verdict.FAIL]

    @property
    def ok(self) -> bool:
        """Whether no rule that binds was broken."""
        return not any(one.case.level is Level.MUST for one in self.failures)


class NoServerError(Exception):
    """Nobody answers there, or a good call is not answered as it should: then nothing can be judged."""


class Unjudged(Exception):
    """Raised by a script that cannot judge this server; the text says why."""
